/**
 * The vocabulary of the binary frames: the requests, and the fields that express them.
 * `docs/PROTOCOL.md` is the reference; numbers are never reused with another meaning.
 */

/** What a request asks for. Below 16: every server. 16 to 31: front end. 32 to 47: back end. */
export const OPCODE = {
  HELLO: 1,
  PING: 2,
  INFO: 3,
  CANCEL: 4,
  GOAWAY: 5,

  STORE: 16,
  RETRIEVE: 17,
  DELETE: 18,
  PEEK: 19,
  REKEY: 20,
  BATCH: 21,
  LIST: 22,

  PUT: 32,
  GET: 33,
  HEAD: 34,
  REMOVE: 35,
  SCAN: 36,
  SNAPSHOT_OPEN: 41,
  SNAPSHOT_SCAN: 42,
  SNAPSHOT_GET: 43,
  SNAPSHOT_CLOSE: 44,
} as const;

export type Opcode = (typeof OPCODE)[keyof typeof OPCODE];

/** The types of fields, 1 to 127. Integers are big-endian. */
export const FIELD = {
  /** User ID, 1 to 1024 bytes. */
  ID: 1,
  /** Record key, 32 bytes. */
  KEY: 2,
  /** Namespace, 0 to 255 bytes. */
  NAMESPACE: 3,
  /** Key of the store: table byte and the rest. */
  STORE_KEY: 4,
  /** Head of a stored value. */
  HEAD: 5,
  /** u64, milliseconds since 1970 (UTC); 0 is never. */
  EXPIRY: 6,
  /** Revision that the store drew, 8 bytes. */
  REVISION: 7,
  /** Empty: only if nothing is stored there. */
  IF_ABSENT: 8,
  /** Only if the stored revision is this, 8 bytes. */
  IF_REVISION: 9,
  /** u8: 1 if something was there before, else 0. */
  REPLACED: 10,
  /** u32: the largest body that the caller takes. */
  ACCEPT_BYTES: 11,
  /** u32: the size of a body. */
  SIZE: 12,
  /** u32: milliseconds that the caller still waits. */
  TIMEOUT: 13,
  /** Trace ID of the whole request, 16 bytes (W3C trace-id). */
  TRACE: 14,
  /** Public ID of a keyring, 16 bytes. */
  KEYRING: 15,
  /** u32: epoch of a keyring. */
  EPOCH: 16,
  /** ID of a store, 16 bytes. */
  STORE_ID: 17,
  /** u32: the ID of the request that CANCEL takes back. */
  TARGET: 18,
  /** UTF-8: name and release of a program. */
  AGENT: 19,
  /** u32: the largest record that a server takes. */
  RECORD_BYTES_MAX: 20,
  /** First bytes of store keys. */
  PREFIX: 21,
  /** Store key after which a scan continues. */
  AFTER: 22,
  /** u32: number of items. */
  LIMIT: 23,
  /** Access token. */
  TOKEN: 24,
  /** Empty: the record can be read once. */
  ONCE: 25,
  /** Content type that is sealed with the record, UTF-8. */
  CONTENT_TYPE: 26,
  /** A reader's random token, 16 to 64 bytes: its holder may read a record once more. */
  READER: 27,
  /** The record key that a record has now, 32 bytes. */
  OLD_KEY: 28,
  /** A snapshot that a back end lends, 8 bytes. */
  LEASE: 40,
  /** Span of the caller, 8 bytes (W3C parent-id), and u8: its trace flags. */
  SPAN: 44,
} as const;

export type FieldType = (typeof FIELD)[keyof typeof FIELD];
