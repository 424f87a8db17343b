/**
 * Lets in only what was meant under the newest epoch of the keyring. When the epoch is raised, no
 * write of an older one is under way any more: front ends that follow the new state can rely on
 * where the others no longer write.
 */
import { EncServerError } from '../errors.ts';

export class EpochFence {
  #epoch = 0;
  #writes = 0;
  /** Settled once the writes of older epochs are done. */
  #raising: Promise<void> = Promise.resolve();
  #drained: (() => void) | undefined;

  /** The newest that was seen; 0 while there was none. */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * From now on only `epoch` is let in, and that once this has resolved: it is to be awaited
   * before anybody is told that the epoch is taken. An older one changes nothing.
   */
  async raise(epoch: number): Promise<void> {
    if (epoch > this.#epoch) {
      this.#epoch = epoch;
      // Who raises it again meanwhile waits for the same writes: none has come since.
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

  /** A write begins; {@link leave} it when it is done, whatever became of it. */
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
