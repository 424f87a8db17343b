/** Assembles a back end: store, service, surfaces and one port. */
import { join } from 'node:path';
import type { AuditLog } from '../audit/audit-log.ts';
import { AuditedGate } from '../audit/gate.ts';
import { withAudit } from '../audit/open.ts';
import { openGate, type RunningGate } from '../auth/gate.ts';
import type { Config } from '../config/load.ts';
import { toEncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { TrustedProxies } from '../net/http-session.ts';
import { openTls, Port, type RunningServer } from '../net/port.ts';
import { type OpenedStore, openStore } from '../store/open.ts';
import { AuditedBeService } from './audited-service.ts';
import { sweepRegularly } from './expiry-job.ts';
import { storeFamilies } from './families.ts';
import { BeService } from './service.ts';
import { BeFrames } from './surfaces/frames.ts';
import { BeText } from './surfaces/text.ts';

/**
 * Opens the store, then listens. Rejects with `NOT_ALLOWED` for a host beyond loopback,
 * `PORT_TAKEN`, `FOLDER_LOCKED`, `BAD_CONFIG` or `STORE_DAMAGED`. It starts even if MongoDB is
 * away: requests that need it are answered with `UNAVAILABLE` until it is there.
 */
export async function startBe(config: Config, log: Logger): Promise<RunningServer> {
  return await withAudit(config.beServerConfigs, log, (audit) => start(config, log, audit));
}

async function start(
  config: Config,
  log: Logger,
  audit: AuditLog | undefined,
): Promise<RunningServer> {
  const section = config.beServerConfigs;
  const authority = await openGate(section, 'be', log);
  const gate = audit === undefined ? authority : new AuditedGate(authority, audit);
  const tls = await openTls(section, log);
  const trustedProxies = new TrustedProxies(section.trustedProxies);
  const port: Port = new Port(
    section,
    '--port (be-server) or --be-port (up)',
    { log, gate, tls },
    {
      frames: () => new BeFrames(service, port),
      text: () => new BeText(service, port),
      http: async () => (await import('./surfaces/http.ts')).openBeHttp(httpHost()),
      grpc: async (host) => (await import('./surfaces/grpc.ts')).openBeGrpc({ ...host, service }),
    },
  );
  const store = await openStoreOf(section, log);
  const storeFacts = () => ({
    meter: store.meter,
    epoch: service.epoch,
    isReady: service.unreadyReason() === undefined,
  });
  const httpHost = () => ({
    limits: port.limits,
    log,
    gate,
    traffic: port.traffic,
    trustedProxies,
    families: () => [
      ...port.families(),
      ...storeFamilies(storeFacts()),
      ...(audit?.families() ?? []),
    ],
    unreadyReason: () => service.unreadyReason(),
  });
  const { budget, limits } = port;
  const service: BeService =
    audit === undefined
      ? new BeService(store, budget, limits)
      : new AuditedBeService(store, budget, limits, audit);
  return await listen({ port, service, store, authority }, section.store, log);
}

function openStoreOf(section: Config['beServerConfigs'], log: Logger): Promise<OpenedStore> {
  return openStore({
    kind: section.store,
    folder: join(section.dataDir, 'be'),
    mongoURI: section.mongoURI,
    mongoDatabase: section.mongoDatabase,
    log: (level, message, facts) => log[level](facts, message),
  });
}

/** What a back end has open, in the order of closing. */
interface Opened {
  readonly port: Port;
  readonly service: BeService;
  readonly store: OpenedStore;
  readonly authority: RunningGate;
}

/** Closes the store if it cannot listen. */
async function listen(
  { port, service, store, authority }: Opened,
  kind: string,
  log: Logger,
): Promise<RunningServer> {
  let records: string;
  try {
    records = await countRecords(store);
    await port.listen();
  } catch (error) {
    await store.close();
    authority.close();
    throw error;
  }
  const sweeping = sweepRegularly(store, log);
  const where = [kind, store.place, records].filter((part) => part !== '').join(', ');
  log.info({ port: port.port, store: where }, 'listening');
  return {
    port: port.port,
    line: `be listening on ${port.address} (${where})`,
    async close() {
      log.info('closing');
      await port.close();
      sweeping.stop();
      await service.snapshots.closeAll();
      await store.close();
      authority.close();
      log.info('closed');
    },
  };
}

/** The number of records, for people; or that it is unknown. */
async function countRecords(store: OpenedStore): Promise<string> {
  try {
    return `about ${(await store.stats()).records} records`;
  } catch (thrown) {
    if (toEncServerError(thrown).code === 'UNAVAILABLE') return 'unreachable';
    throw thrown;
  }
}
