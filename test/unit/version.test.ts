/** The version is written down three times, since each part must know it without the others; here they are compared. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SHERD_VERSION } from '../../src/cli/texts.js';
import { REDIS_VERSION } from '../../src/config/config-file.js';
import { projectRoot } from '../support/project.js';

const read = (...path: string[]): string => readFileSync(join(projectRoot, ...path), 'utf8');

it('is the same in package.json, in the control plane and in the engine', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const header = read('native', 'base', 'version.h');
  expect(SHERD_VERSION).toBe(version);
  expect(/kSherdVersion = "([^"]*)"/.exec(header)?.[1]).toBe(version);
  expect(/kRedisVersion = "([^"]*)"/.exec(header)?.[1]).toBe(REDIS_VERSION);
});
