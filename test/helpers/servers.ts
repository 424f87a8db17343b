/** Both servers in this process, on free ports and a temporary folder. */
import { rm } from 'node:fs/promises';
import { startBe } from '../../lib/be/server.ts';
import { type Config, loadConfig, type PartialConfig } from '../../lib/config/load.ts';
import { startFe } from '../../lib/fe/server.ts';
import { type Logger, silentLog } from '../../lib/log.ts';
import type { RunningServer } from '../../lib/net/port.ts';
import { temporaryFolder } from './temporary-folder.ts';

export { temporaryFolder } from './temporary-folder.ts';

export interface TestServers {
  readonly folder: string;
  readonly config: Config;
  readonly be: RunningServer;
  readonly fe: RunningServer;
  /** Stops the back end and starts another on the same port and folder. */
  restartBe(): Promise<void>;
  stopBe(): Promise<void>;
  close(): Promise<void>;
}

/** The configuration for tests: free ports, a folder of its own, quick drains. */
export async function testConfig(folder: string, flags: PartialConfig = {}): Promise<Config> {
  const quick = { port: 0, dataDir: folder, drainTimeoutMs: 1_000 };
  const loaded = await loadConfig({
    env: {},
    flags: {
      ...flags,
      feServerConfigs: { ...quick, ...flags.feServerConfigs },
      beServerConfigs: { ...quick, store: 'memory', ...flags.beServerConfigs },
    },
  });
  return loaded.config;
}

export async function startServers(
  flags: PartialConfig = {},
  log: Logger = silentLog,
): Promise<TestServers> {
  const folder = await temporaryFolder();
  const config = await testConfig(folder, flags);
  let be = await startBe(config, log);
  let beStopped = false;
  const bePort = be.port;
  const link = { ...config.beClientConfigs, serverAddr: `127.0.0.1:${bePort}` };
  const fe = await startFe({ ...config, beClientConfigs: link }, log).catch(async (error) => {
    await be.close();
    throw error;
  });
  const stopBe = async () => {
    if (!beStopped) await be.close();
    beStopped = true;
  };
  return {
    folder,
    config,
    fe,
    get be() {
      return be;
    },
    stopBe,
    async restartBe() {
      await stopBe();
      const section = { ...config.beServerConfigs, port: bePort };
      be = await startBe({ ...config, beServerConfigs: section }, log);
      beStopped = false;
    },
    async close() {
      await fe.close();
      await stopBe();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
