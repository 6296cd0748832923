/**
 * Loaded into a server's process before anything else (NODE_OPTIONS --import): opens the journal of its engine as soon
 * as there is one, so that tests of the journal need no control plane.
 *
 *   SHERD_TEST_JOURNAL        the file
 *   SHERD_TEST_APPENDFSYNC    always, everysec or no
 *   SHERD_TEST_TIMESTAMPS     "yes": aof-timestamp-enabled
 */
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const path = process.env['SHERD_TEST_JOURNAL'];

if (isMainThread && path !== undefined) {
  const program = new URL('../../native/build/Release/sherd.node', import.meta.url).pathname;
  const addon = createRequire(import.meta.url)(process.env['SHERD_ADDON'] ?? program);
  const { createEngine } = addon;
  addon.createEngine = (options) => {
    const engine = createEngine(options);
    const policy = process.env['SHERD_TEST_APPENDFSYNC'] ?? 'everysec';
    addon.setJournalPolicy(engine, policy, process.env['SHERD_TEST_TIMESTAMPS'] === 'yes');
    addon.openJournal(engine, { path, offset: 0n, crc: 0n }).catch((error) => {
      process.stderr.write(`journal: ${error.code} ${error.message}\n`);
      process.exit(1);
    });
    return engine;
  };
}
