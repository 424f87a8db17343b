/** The metrics of a back end's store. */
import { type Family, single } from '../metrics.ts';
import type { OpenedStore } from '../store/open.ts';

export interface StoreFacts {
  readonly meter: OpenedStore['meter'];
  /** Newest epoch of the keyring that was seen. */
  readonly epoch: number;
  /** Whether the store takes writes, and the audit log, if `closed`, its lines. */
  readonly isReady: boolean;
}

export function storeFamilies({ meter, epoch, isReady }: StoreFacts): Family[] {
  const { writes, seconds } = meter;
  const labels = {};
  return [
    single(
      'gauge',
      'enc_server_ready',
      '1 while the store and a closed audit log take writes and have room, else 0.',
      Number(isReady),
    ),
    {
      type: 'histogram',
      name: 'enc_server_store_group_writes',
      help: 'Writes that were made durable together.',
      values: [{ labels, histogram: writes }],
    },
    {
      type: 'histogram',
      name: 'enc_server_store_group_seconds',
      help: 'Time that it took to make them durable.',
      values: [{ labels, histogram: seconds }],
    },
    single(
      'gauge',
      'enc_server_keyring_epoch',
      'Newest epoch of the keyring that was seen; 0 while there was none.',
      epoch,
    ),
  ];
}
