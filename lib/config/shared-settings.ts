/** The settings that several sections share. */
import { DEFAULT_LIMITS, limitsFor } from '../protocol/limits.ts';
import { choice, count, duration, flag, size, text } from './fields.ts';

const MIB = 1024 * 1024;
const COUNT_MAX = 1_000_000;

export function dataDir(holds: string) {
  return text('', {
    about: `The data folder; ${holds}. A leading \`~/\` is the home folder.`,
    expects: 'the path of a folder',
    fallback: '`enc-server-ts` under `XDG_STATE_HOME` or `~/.local/state`',
  });
}

/** The settings that both servers have. */
export function transport(portDefault: number, certificateScopes: string) {
  const limits = DEFAULT_LIMITS;
  return {
    ...access(certificateScopes),
    ...audit(),
    host: text(
      'localhost',
      {
        about: 'Where to listen. Beyond loopback only with authentication or `allowOpen`.',
        fallback: 'localhost',
        expects: 'a host name or address',
      },
      /^[^\s\p{Cc}]+$/u,
    ),
    port: count(0, 65_535, portDefault, 'The port; 0 takes any free one.'),
    allowOpen: flag(
      false,
      'Allow listening beyond loopback without authentication: whoever reaches the port may ask.',
    ),
    recordBytesMax: size(
      1,
      15 * MIB,
      limits.recordBytesMax,
      'The longest record. Both servers should have the same.',
    ),
    bytesInFlightMax: size(
      1,
      64 * 1024 * MIB,
      limits.bytesInFlightMax,
      'Requests and replies that the whole process holds at once. A quarter of it is for requests of ' +
        'at most 64 KiB.',
    ),
    connectionsMax: count(1, COUNT_MAX, 10_000, 'Connections at once; more are refused.'),
    requestsPerConnectionMax: count(
      1,
      COUNT_MAX,
      limits.requestsPerConnectionMax,
      'Requests of one connection under way at once; more wait to be read. Over HTTP, where they ' +
        'take turns, one more that was pipelined is answered 503, and ends the connection.',
    ),
    requestsMax: count(
      1,
      COUNT_MAX,
      limits.requestsMax,
      'Requests of all connections under way at once; more are refused.',
    ),
    connectionsPerAddressMax: count(
      1,
      COUNT_MAX,
      10_000,
      'Connections of one address (of IPv6, one /64 network) at once; more are refused.',
    ),
    handshakesMax: count(
      1,
      COUNT_MAX,
      256,
      'TLS handshakes under way at once; for one more, the oldest is cut.',
    ),
    requestsPerSecondMax: count(
      0,
      COUNT_MAX,
      0,
      'Requests of one token, and of one address, in a second; 0 for no bound.',
    ),
    wrongKeysPerMinuteMax: count(
      0,
      COUNT_MAX,
      10_000,
      'Wrong record keys of one token, and from one address, in a minute; further requests ' +
        'are refused until what was tried beyond it is waited off, for ten minutes at most. ' +
        '0 for no bound.',
    ),
    wrongTokensPerMinuteMax: count(
      0,
      COUNT_MAX,
      600,
      'Invalid tokens from one address in a minute; further tokens are refused for a while. ' +
        '0 for no bound.',
    ),
    firstByteTimeoutMs: duration(
      limits.firstByteTimeoutMs,
      'For the first bytes of a connection, which tell its dialect.',
    ),
    receiveTimeoutMs: duration(
      limits.receiveTimeoutMs,
      'For a frame or line to arrive completely once it has begun.',
    ),
    idleTimeoutMs: duration(
      limits.idleTimeoutMs,
      'How long a connection may be silent with nothing under way.',
    ),
    sendTimeoutMs: duration(
      limits.sendTimeoutMs,
      'For a receiver to take something more of its replies; over HTTP up to twice as long. On a fast network Linux tells only when a third of its send buffer is free again, up to 2 MiB (net.ipv4.tcp_wmem): a receiver has to take 2 MiB in each such time, with 30 s 70 KiB a second.',
    ),
    requestTimeoutMs: duration(limits.requestTimeoutMs, 'For a request that names no deadline.'),
    drainTimeoutMs: duration(10_000, 'For requests under way to end when the server stops.'),
  };
}

/** Who may ask, and how the connections are protected. */
function access(certificateScopes: string) {
  return {
    auth: choice(
      ['none', 'required'],
      'none',
      'Whether callers must identify themselves: `required` means by a token, or by a client ' +
        'certificate from `tlsClientCa`. Beyond loopback it is required unless `allowOpen` is set.',
    ),
    tokens: path('The file of the access tokens: their hashes, scopes and ends.', 'in `dataDir`'),
    certificateScopes: text(
      certificateScopes,
      {
        about:
          'What callers with a client certificate may do, by a DNS name in it: ' +
          '`name=scope+scope` or `name=scope@namespace`, with commas between them; each name once.',
        expects: 'names with scopes, such as fe=frontend, admin=admin',
        fallback: `\`${certificateScopes}\``,
      },
      /^[\w.*-]+=[a-z+]+(?:@[^\s,]+)?(?:\s*,\s*[\w.*-]+=[a-z+]+(?:@[^\s,]+)?)*$/,
    ),
    tlsCert: path('The certificate, with those between it and its authority (PEM).', 'no TLS'),
    tlsKey: path('The private key of the certificate (PEM); nobody else may read it.', 'no TLS'),
    tlsClientCa: path('The authority of client certificates (PEM).', 'none are asked for'),
    tlsMinVersion: choice(['1.3', '1.2'], '1.3', 'The oldest TLS version that is spoken.'),
    allowPlaintext: flag(
      false,
      'Allow connections beyond loopback without TLS: where a proxy in front, or the network ' +
        'itself, encrypts them.',
    ),
    trustedProxies: text(
      '',
      {
        about:
          'Proxies whose `X-Forwarded-For` is believed, for the limits per address. Over HTTP only.',
        expects: 'addresses and networks such as 10.0.0.0/8, with commas between them',
        fallback: 'none',
      },
      /^[\da-fA-F.:/]*(?:[\s,]+[\da-fA-F.:/]+)*$/,
    ),
  };
}

/** How operations are recorded: `docs/AUDIT.md`. */
function audit() {
  return {
    auditLog: path('The audit log: a line for every operation.', 'none is written'),
    auditKeyFile: path(
      'The key of the audit log, from `enc-server audit init`; its state lies beside it.',
      'none',
    ),
    auditFailure: choice(
      ['unset', 'open', 'closed'],
      'unset',
      'What happens when the audit log cannot be written: `closed` answers nothing without its ' +
        'line on disk; `open` goes on and counts the lost lines. It must be set if `auditLog` is, and only then.',
    ),
    auditFileBytesMax: size(
      4096,
      1024 * 1024 * MIB,
      64 * MIB,
      'An audit log that reaches this size is put aside with a number and continued in a new file.',
    ),
    auditCheckpoints: path(
      'The file of the signed checkpoints of the audit log; best on another disk.',
      '`auditLog` with `.checkpoints`',
    ),
    auditCheckpointLines: count(
      1,
      COUNT_MAX,
      1_000,
      'Audit lines from one checkpoint to the next.',
    ),
    auditCheckpointMs: duration(60_000, 'From one checkpoint of the audit log to the next.'),
  };
}

/** An audit log needs its key, and a choice that nobody should make by accident. */
export function auditsWhole(section: {
  auditLog: string;
  auditKeyFile: string;
  auditFailure: string;
}) {
  const { auditLog, auditKeyFile, auditFailure } = section;
  return auditLog === '' || (auditKeyFile !== '' && auditFailure !== 'unset');
}

export const AUDITS_WHOLE = {
  path: ['auditLog'],
  message: 'expected auditKeyFile and auditFailure (open or closed) with it',
};

/** Whoever gives these wants an audit log, and would take a missing one for a quiet one. */
export function auditsSomewhere({
  auditLog,
  auditKeyFile,
  auditFailure,
}: {
  auditLog: string;
  auditKeyFile: string;
  auditFailure: string;
}) {
  return auditLog !== '' || (auditKeyFile === '' && auditFailure === 'unset');
}

export const AUDITS_SOMEWHERE = {
  path: ['auditLog'],
  message: 'expected a path, as auditKeyFile or auditFailure is given',
};

/** How a client verifies its server, and identifies itself. */
export function caller() {
  return {
    token: text(
      '',
      { about: 'The access token.', expects: 'a token', fallback: 'none', secret: true },
      /^[\x21-\x7e]*$/,
    ),
    tls: flag(false, 'Whether the server is called over TLS; `tlsCa` or `tlsCert` mean that too.'),
    allowPlaintext: flag(
      false,
      'Allow sending the token beyond loopback without TLS: where the network itself encrypts.',
    ),
    tlsCa: path('The authority of the server (PEM).', "the system's authorities"),
    tlsCert: path('The client certificate (PEM).', 'none'),
    tlsKey: path('The private key of the client certificate (PEM).', 'none'),
    tlsServerName: text('', {
      about: 'The name that must stand in the certificate of the server.',
      expects: 'a name or an address',
      fallback: 'the host that is called',
    }),
  };
}

function path(about: string, fallback: string) {
  return text('', { about, expects: 'the path of a file', fallback });
}

/** A process that cannot hold its longest record as a line could never answer a request for it. */
export function holdsLongestRecord(section: { recordBytesMax: number; bytesInFlightMax: number }) {
  return section.bytesInFlightMax >= limitsFor(section.recordBytesMax).lineBytesMax;
}

export const HOLDS_LONGEST_RECORD = {
  path: ['bytesInFlightMax'],
  message: 'expected at least 4/3 of recordBytesMax and 64 KiB, so that one record fits',
};

export const timeoutMs = (about: string) => duration(DEFAULT_LIMITS.requestTimeoutMs, about);
