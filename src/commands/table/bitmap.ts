/**
 * Bitmap commands: strings seen as rows of bits, the highest bit of the first byte first.
 *
 * Facts as in Redis 7.2 (see types.ts for the fields). Sorted by name. BITOP takes four more operations (DIFF, DIFF1,
 * ANDOR, ONE, as Redis 8.2), which COMMAND DOCS does not name, since its arguments are those of 7.2.
 */
import { keyAt, keysAt, type Argument, type Command } from './types.js';

const unit: Argument = {
  name: 'unit',
  type: 'oneof',
  since: '7.0.0',
  optional: true,
  args: [
    { name: 'byte', type: 'pure-token', token: 'BYTE' },
    { name: 'bit', type: 'pure-token', token: 'BIT' },
  ],
};

export const bitmapCommands: readonly Command[] = [
  {
    name: 'bitcount',
    summary: 'Counts the bits that are set in a string or in a part of it',
    since: '2.6.0',
    group: 'bitmap',
    complexity: 'O(N), N being the length of the part',
    arity: -2,
    runs: 'keys',
    flags: ['readonly'],
    categories: ['read', 'bitmap', 'slow'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      {
        name: 'range',
        type: 'block',
        optional: true,
        args: [{ name: 'start', type: 'integer' }, { name: 'end', type: 'integer' }, unit],
      },
    ],
    history: [['7.0.0', 'Option `BYTE|BIT`.']],
  },
  {
    name: 'bitfield',
    summary: 'Reads, writes and increments integers of any width inside a string',
    since: '3.2.0',
    group: 'bitmap',
    complexity: 'O(1) for each operation',
    arity: -2,
    runs: 'keys',
    flags: ['write', 'denyoom'],
    categories: ['write', 'bitmap', 'slow'],
    keySpecs: [
      keyAt(1, ['RW', 'access', 'update', 'variable_flags'], 'A line of `GET` operations alone reads only'),
    ],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      {
        name: 'operation',
        type: 'oneof',
        optional: true,
        multiple: true,
        args: [
          {
            name: 'get-block',
            type: 'block',
            token: 'GET',
            args: [{ name: 'encoding', type: 'string' }, { name: 'offset', type: 'integer' }],
          },
          {
            name: 'write',
            type: 'block',
            args: [
              {
                name: 'overflow-block',
                type: 'oneof',
                token: 'OVERFLOW',
                optional: true,
                args: [
                  { name: 'wrap', type: 'pure-token', token: 'WRAP' },
                  { name: 'sat', type: 'pure-token', token: 'SAT' },
                  { name: 'fail', type: 'pure-token', token: 'FAIL' },
                ],
              },
              {
                name: 'write-operation',
                type: 'oneof',
                args: [
                  {
                    name: 'set-block',
                    type: 'block',
                    token: 'SET',
                    args: [
                      { name: 'encoding', type: 'string' },
                      { name: 'offset', type: 'integer' },
                      { name: 'value', type: 'integer' },
                    ],
                  },
                  {
                    name: 'incrby-block',
                    type: 'block',
                    token: 'INCRBY',
                    args: [
                      { name: 'encoding', type: 'string' },
                      { name: 'offset', type: 'integer' },
                      { name: 'increment', type: 'integer' },
                    ],
                  },
                ],
              },
            ],
          },
        ],
      },
    ],
  },
  {
    name: 'bitfield_ro',
    summary: 'Reads integers of any width inside a string',
    since: '6.0.0',
    group: 'bitmap',
    complexity: 'O(1) for each operation',
    arity: -2,
    runs: 'keys',
    flags: ['readonly', 'fast'],
    categories: ['read', 'bitmap', 'fast'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      {
        name: 'get-block',
        type: 'block',
        token: 'GET',
        optional: true,
        multiple: true,
        multipleToken: true,
        args: [{ name: 'encoding', type: 'string' }, { name: 'offset', type: 'integer' }],
      },
    ],
  },
  {
    name: 'bitop',
    summary: 'Combines strings bit by bit and stores the result',
    since: '2.6.0',
    group: 'bitmap',
    complexity: 'O(N), N being the length of all strings together',
    arity: -4,
    runs: 'keys',
    effort: 'elements',
    flags: ['write', 'denyoom'],
    categories: ['write', 'bitmap', 'slow'],
    keySpecs: [keyAt(2, ['OW', 'update']), keysAt(3, -1, 1, ['RO', 'access'])],
    args: [
      {
        name: 'operation',
        type: 'oneof',
        args: [
          { name: 'and', type: 'pure-token', token: 'AND' },
          { name: 'or', type: 'pure-token', token: 'OR' },
          { name: 'xor', type: 'pure-token', token: 'XOR' },
          { name: 'not', type: 'pure-token', token: 'NOT' },
        ],
      },
      { name: 'destkey', type: 'key', keySpec: 0 },
      { name: 'key', type: 'key', keySpec: 1, multiple: true },
    ],
  },
  {
    name: 'bitpos',
    summary: 'Finds the first bit that is set or clear in a string or in a part of it',
    since: '2.8.7',
    group: 'bitmap',
    complexity: 'O(N), N being the length of the part',
    arity: -3,
    runs: 'keys',
    flags: ['readonly'],
    categories: ['read', 'bitmap', 'slow'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'bit', type: 'integer' },
      {
        name: 'range',
        type: 'block',
        optional: true,
        args: [
          { name: 'start', type: 'integer' },
          {
            name: 'end-unit-block',
            type: 'block',
            optional: true,
            args: [{ name: 'end', type: 'integer' }, unit],
          },
        ],
      },
    ],
    history: [['7.0.0', 'Option `BYTE|BIT`.']],
  },
  {
    name: 'getbit',
    summary: 'Returns one bit of a string',
    since: '2.2.0',
    group: 'bitmap',
    complexity: 'O(1)',
    arity: 3,
    runs: 'keys',
    flags: ['readonly', 'fast'],
    categories: ['read', 'bitmap', 'fast'],
    keySpecs: [keyAt(1, ['RO', 'access'])],
    args: [{ name: 'key', type: 'key', keySpec: 0 }, { name: 'offset', type: 'integer' }],
  },
  {
    name: 'setbit',
    summary: 'Sets or clears one bit of a string, making it longer if need be',
    since: '2.2.0',
    group: 'bitmap',
    complexity: 'O(1)',
    arity: 4,
    runs: 'keys',
    flags: ['write', 'denyoom'],
    categories: ['write', 'bitmap', 'slow'],
    keySpecs: [keyAt(1, ['RW', 'access', 'update'])],
    args: [
      { name: 'key', type: 'key', keySpec: 0 },
      { name: 'offset', type: 'integer' },
      { name: 'value', type: 'integer' },
    ],
  },
];
