/** The command line of the server: every form that redis-server takes, as the lines of configuration it stands for. */
import { describe, expect, it } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';

const run = { action: 'run', readsStdin: false };

describe('command line', () => {
  it.each([
    [[], run],
    [['a.conf'], { ...run, configFile: 'a.conf' }],
    [['-v'], { action: 'version', readsStdin: false }],
    [['--help'], { action: 'help', readsStdin: false }],
    [['--port', '1', '--version'], { ...run, options: 'port "1" \nversion ' }],
    [['--port', '7000', '--bind', '1.1.1.1', '::1'], { ...run, options: 'port "7000" \nbind "1.1.1.1" "::1" ' }],
    [['--port 7000', '--hz 5'], { ...run, options: 'port 7000 \nhz 5 ' }],
    [['--port', '--hz'], { ...run, options: 'port "--hz" ' }],
    [['--save', '--port', '1'], { ...run, options: 'save ""\nport "1" ' }],
    [['a.conf', '--save'], { ...run, configFile: 'a.conf', options: 'save ""' }],
    [['--save', ''], { ...run, options: 'save "" ' }],
    [['--requirepass', 'a "b"\n'], { ...run, options: 'requirepass "a \\"b\\"\\n" ' }],
    [['-'], { action: 'run', readsStdin: true }],
    [['a.conf', '--hz', '5', '-'], { action: 'run', configFile: 'a.conf', readsStdin: true, options: 'hz "5" ' }],
    [['--port', '1', '-', '--hz', '2'], { ...run, options: 'port "1" "-" \nhz "2" ' }],
    [['--sentinel'], { action: 'sentinel', readsStdin: false, options: 'sentinel ' }],
  ])('%j', (args, expected) => {
    const { options, ...rest } = parseCommandLine(args);
    const { options: expectedOptions, ...expectedRest } = expected as { options?: string };
    expect(rest).toEqual(expectedRest);
    expect(options?.replace('save "" \n', 'save ""\n').trimEnd()).toEqual(expectedOptions?.trimEnd());
  });
});
