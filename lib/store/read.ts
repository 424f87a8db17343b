import type { EncServerError } from '../errors.ts';
import type { StoredValue } from './store.ts';

/** One read that a caller waits for. */
export interface Read {
  readonly key: Buffer;
  /** Bodies larger than this are left out of the result, in bytes; below 0, every body is. */
  readonly bodyBytesMax: number;
  readonly resolve: (value: StoredValue | undefined) => void;
  readonly reject: (error: EncServerError) => void;
}
