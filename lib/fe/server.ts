/** Assembles a front end: keyring, link to the back end, service, surfaces and one port. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditLog } from '../audit/audit-log.ts';
import { AuditedGate } from '../audit/gate.ts';
import { withAudit } from '../audit/open.ts';
import { openGate, type RunningGate } from '../auth/gate.ts';
import { askKeyring, type BackEnd, noBackEnd, openBackEnd } from '../be/back-end.ts';
import type { Config } from '../config/load.ts';
import type { KeyringMeans } from '../crypto/keyring.ts';
import { EncServerError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { exposition } from '../metrics.ts';
import { Backoff } from '../net/backoff.ts';
import { isLoopback } from '../net/host-policy.ts';
import { TrustedProxies } from '../net/http-session.ts';
import { openTls, Port, type RunningServer } from '../net/port.ts';
import { AuditedFeService } from './audited-service.ts';
import { keepingFamilies } from './families.ts';
import { Items } from './items.ts';
import { KeyringKeeper } from './keeper.ts';
import { meansOf } from './means.ts';
import { FE_PORT_FLAG } from './port-flag.ts';
import { stateOf } from './readiness.ts';
import { FeService } from './service.ts';
import { FeFrames } from './surfaces/frames.ts';
import { FeText } from './surfaces/text.ts';
import { TEXT_ENCODINGS } from './surfaces/text-encoding.ts';
import type { WorkerLink } from './workers/worker.ts';
import type { WritePolicy } from './writing.ts';

/** Errors of the keyring that waiting does not mend: the server does not start with them. */
const FATAL = new Set([
  'KEYRING_MISSING',
  'KEYRING_MISMATCH',
  'KEYRING_UNSAFE',
  'KEYRING_DAMAGED',
  'KEYRING_LOCKED',
  'STALE_EPOCH',
  'FILE_ERROR',
  // The called server is not a back end.
  'BAD_CONFIG',
  'UNKNOWN_FIELD',
  // The back end refuses this front end: somebody has to check the settings.
  'UNAUTHENTICATED',
  'NOT_ALLOWED',
  'TLS_FAILED',
]);
/** The caller, for the audit log, of the server's own operations. */
const THIS_SERVER = { who: 'server', from: '' };
/** How long a start waits for the back end before it continues without, in milliseconds. */
const FIRST_CONTACT_MS = 2_000;
const FIRST_CONTACT_STEP_MS = 5;
/** A key service that fails is not asked without a pause. */
const OPENING = { firstMs: 10, maxMs: 200, shortMs: 0 };

/**
 * Opens the keyring, then listens. It waits only briefly for a back end that is away; the front end
 * then answers `UNAVAILABLE` until it is there. If it is one of several processes, `link` leads to
 * what they share. Rejects with `NOT_ALLOWED`, `PORT_TAKEN`, or the keyring's error.
 */
export async function startFe(
  config: Config,
  log: Logger,
  link?: WorkerLink,
): Promise<RunningServer> {
  return await withAudit(config.feServerConfigs, log, (audit) => start(config, log, audit, link));
}

async function start(
  config: Config,
  log: Logger,
  audit: AuditLog | undefined,
  worker: WorkerLink | undefined,
): Promise<RunningServer> {
  const section = config.feServerConfigs;
  // Check what depends on settings alone before anything is opened.
  const writePolicy = writePolicyOf(section, config.beClientConfigs);
  const means = meansOf(section);
  const authority = await openGate(section, 'fe', log, { boundOf: worker?.boundOf });
  const gate = audit === undefined ? authority : new AuditedGate(authority, audit);
  const tls = await openTls(section, log);
  const trustedProxies = new TrustedProxies(section.trustedProxies);
  const port: Port = new Port(
    section,
    FE_PORT_FLAG,
    { log, gate, tls, share: worker?.share },
    {
      frames: () => new FeFrames(service, port),
      text: () => new FeText(service, port, TEXT_ENCODINGS[section.textEncoding]),
      http: async () => (await import('./surfaces/http/app.ts')).openFeHttp(httpHost()),
      grpc: async (host) =>
        (await import('./surfaces/grpc.ts')).openFeGrpc({ ...host, service, state }),
    },
  );
  const { budget, limits } = port;
  const { keeper, be } = await openLink(config, means, log, audit);
  const state = () => stateOf(be, keeper, audit?.facts);
  const { recordBytesMax, requestTimeoutMs } = limits;
  const { uniformErrors, host, allowedHosts } = section;
  const options = { be, keeper, budget, recordBytesMax, writePolicy, uniformErrors };
  const service: FeService =
    audit === undefined ? new FeService(options) : new AuditedFeService(options, audit);
  const families = () => [
    ...port.families(),
    ...keepingFamilies(be, keeper, audit?.facts),
    ...(audit?.families() ?? []),
  ];
  worker?.counts(families);
  const httpHost = () => {
    const items = new Items(service, recordBytesMax, requestTimeoutMs);
    const page = () => worker?.page() ?? exposition(families());
    const told = { log, gate, traffic: port.traffic, page, trustedProxies, state };
    return { service, items, limits, budget, host, allowedHosts, ...told };
  };
  return await listen({ port, keeper, be, authority }, config.beClientConfigs.serverAddr, log);
}

/** What a front end has open, in the order of closing. */
interface Opened {
  readonly port: Port;
  readonly keeper: KeyringKeeper;
  readonly be: BackEnd;
  readonly authority: RunningGate;
}

/** The back end and the keyring: each tells the other of a newer state. */
async function openLink(
  { feServerConfigs: { keyring: path }, beClientConfigs: section }: Config,
  means: KeyringMeans,
  log: Logger,
  audit: AuditLog | undefined,
): Promise<Pick<Opened, 'keeper' | 'be'>> {
  const keeper = new KeyringKeeper(path, () => askKeyring(section), means);
  const be = await openBackEnd({ section, keyring: () => keeper.open() });
  keeper.follow({
    announce: async (keyring) => {
      await be.greet(keyring);
      audit?.tell({ operation: 'keyring', ...THIS_SERVER, epoch: keyring.epoch }, 'ok');
    },
    log: (level, message, facts) => log[level](facts, message),
  });
  return { keeper, be };
}

/** Waits briefly for the back end, then listens. Closes what is open if that fails. */
async function listen(
  { port, keeper, be, authority }: Opened,
  backEnd: string,
  log: Logger,
): Promise<RunningServer> {
  const closeRest = () => {
    keeper.close();
    be.close();
    authority.close();
  };
  try {
    await firstContact(keeper, be);
    await port.listen();
  } catch (error) {
    closeRest();
    throw error;
  }
  log.info({ port: port.port, backEnd, made: keeper.made }, 'listening');
  return {
    port: port.port,
    line: `fe listening on ${port.address} (${describeKeyring(keeper)})`,
    later: keeper.keyring === undefined ? awaitKeyring(keeper, log) : undefined,
    async close() {
      log.info('closing');
      await port.close();
      closeRest();
      log.info('closed');
    },
  };
}

/** Loads the keyring and waits briefly for the back end's check of it. */
async function firstContact(keeper: KeyringKeeper, be: BackEnd): Promise<void> {
  const deadlineMs = Date.now() + FIRST_CONTACT_MS;
  const opening = { settled: true, error: undefined as EncServerError | undefined };
  const backoff = new Backoff(undefined, OPENING);
  const isReady = () => be.connected && keeper.keyring !== undefined;
  while (!isReady() && Date.now() < deadlineMs) {
    if (opening.settled && backoff.isDue) {
      opening.settled = false;
      keeper.open().then(
        () => Object.assign(opening, { settled: true, error: undefined }),
        (error: EncServerError) => {
          backoff.lost(true);
          Object.assign(opening, { settled: true, error });
        },
      );
    }
    await sleep(FIRST_CONTACT_STEP_MS);
    const error = opening.error ?? be.lastError;
    if (error !== undefined && FATAL.has(error.code)) throw explainLink(error);
  }
}

/** Why the back end refuses this front end, for whoever starts it. */
function explainLink(error: EncServerError): EncServerError {
  const { code, message } = error;
  // A front end accepts no keyring.
  if (code === 'UNKNOWN_FIELD') return noBackEnd();
  if (code !== 'UNAUTHENTICATED' && code !== 'NOT_ALLOWED') return error;
  const hint = 'set token, or the client certificate of TLS, in beClientConfigs';
  return new EncServerError(code, `the back end does not take this front end: ${message}`, {
    hint,
  });
}

/** Resolves to what has to be known of a keyring that is made after the start. */
async function awaitKeyring(keeper: KeyringKeeper, log: Logger): Promise<string> {
  const { code, message } = keeper.lack;
  log.warn({ code, reason: message }, 'no keyring yet');
  await keeper.making;
  log.info({ made: keeper.made }, 'the keyring is there');
  return `fe ${describeKeyring(keeper)}`;
}

function describeKeyring(keeper: KeyringKeeper): string {
  if (keeper.keyring === undefined) return `no keyring yet: ${keeper.lack.message}`;
  return keeper.made ? `keyring new: ${keeper.path}, back it up` : `keyring ${keeper.path}`;
}

/** If other machines can reach the server, an ID is not enough to destroy a record. */
function writePolicyOf(
  { writePolicy: chosen, host }: Config['feServerConfigs'],
  { dialect }: Config['beClientConfigs'],
): WritePolicy {
  const fitting = isLoopback(host) ? 'open' : 'key-proof';
  const policy = chosen === 'auto' ? fitting : chosen;
  if (policy === 'open' || dialect === 'frames') return policy;
  // Proof and write are atomic only if the write has a condition.
  throw new EncServerError('BAD_CONFIG', 'the back end knows no proof of key', {
    hint: 'set writePolicy to open, or use a back end of this program',
  });
}
