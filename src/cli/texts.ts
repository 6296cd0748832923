/**
 * Texts that the server program prints: help, version, logo. Tools look for " PID: <pid>" in the logo.
 */
import { REDIS_VERSION } from '../config/config-file.js';

/** Own version; the same as in package.json (a test compares). */
export const SHERD_VERSION = '0.1.0';

export function versionLine(): string {
  return `Redis server v=${REDIS_VERSION} sha=00000000:0 malloc=sherd-slab bits=64 build=sherd-${SHERD_VERSION}\n`;
}

export const HELP = `Usage: ./sherd-server [/path/to/redis.conf] [options] [-]
       ./sherd-server - (read config from stdin)
       ./sherd-server -v or --version
       ./sherd-server -h or --help

Examples:
       ./sherd-server (run the server with default conf)
       echo 'maxclients 128' | ./sherd-server -
       ./sherd-server /etc/redis/6379.conf
       ./sherd-server --port 7777
       ./sherd-server --port 7777 --worker-threads 4
       ./sherd-server /etc/myredis.conf --loglevel verbose -
       ./sherd-server /etc/myredis.conf --loglevel verbose
`;

/** The banner of an interactive start. */
export function logo(port: number, workers: number, shards: number): string {
  return `
      __  __  __
   __/ /\\/ /\\/ /\\       Sherd ${SHERD_VERSION} (speaks Redis ${REDIS_VERSION}), 64 bit
  /_/\\_\\/\\_\\/\\_\\/
  \\_\\/ /\\/ /\\/ /\\       Running in standalone mode
  /_/\\_\\/\\_\\/\\_\\/       Port: ${port}
  \\_\\/\\_\\/\\_\\/          PID: ${process.pid}
                        ${workers} workers, ${shards} shards

`;
}
