/**
 * Lets in only operations under the newest epoch of the keyring. Once the epoch is raised, no write
 * of an older one is under way any more: front ends that follow the new state can rely on where the
 * others no longer write.
 */
import { EncServerError } from '../errors.ts';

export class EpochFence {
  #epoch = 0;
  #writes = 0;
  /** Settled once the writes of older epochs are done. */
  #raising: Promise<void> = Promise.resolve();
  #drained: (() => void) | undefined;

  /** The newest epoch that was seen; 0 if none was. */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * From now on only `epoch` is let in, and only once this has resolved: await it before telling
   * anybody that the epoch is accepted. An older one changes nothing.
   */
  async raise(epoch: number): Promise<void> {
    if (epoch > this.#epoch) {
      this.#epoch = epoch;
      // If it is raised again meanwhile, that waits for the same writes: none was let in since.
      if (this.#writes > 0 && this.#drained === undefined) {
        this.#raising = new Promise((resolve) => {
          this.#drained = resolve;
        });
      }
    }
    await this.#raising;
  }

  /** @throws EncServerError `STALE_EPOCH` if it is not the newest */
  check(epoch: number): void {
    if (epoch === this.#epoch && this.#drained === undefined) return;
    const words =
      epoch < this.#epoch
        ? 'the store knows a newer state of the keyring'
        : 'the keyring changes at this moment';
    throw new EncServerError('STALE_EPOCH', words);
  }

  /** A write begins; call {@link leave} when it is done, whatever its outcome. */
  enter(): void {
    this.#writes++;
  }

  leave(): void {
    this.#writes--;
    if (this.#writes > 0 || this.#drained === undefined) return;
    this.#drained();
    this.#drained = undefined;
  }
}
