/** Counts connections, per address and in total. */
import { EncServerError } from '../errors.ts';

export interface ConnectionBounds {
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
}

export class ConnectionCount {
  readonly #bounds: ConnectionBounds;
  readonly #perAddress = new Map<string, number>();
  #all = 0;

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds;
  }

  /** Counts one more until it leaves; or returns why it is one too many, as `OVERLOADED`. */
  enter(address: string): EncServerError | undefined {
    const { connectionsMax, connectionsPerAddressMax } = this.#bounds;
    if (this.#all >= connectionsMax) {
      return new EncServerError('OVERLOADED', 'too many connections');
    }
    const count = this.#perAddress.get(address) ?? 0;
    if (count >= connectionsPerAddressMax) {
      const hint = 'close some, or use one for several requests';
      return new EncServerError('OVERLOADED', 'too many connections of one address', { hint });
    }
    this.#perAddress.set(address, count + 1);
    this.#all++;
    return undefined;
  }

  leave(address: string): void {
    const left = (this.#perAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#perAddress.delete(address);
    else this.#perAddress.set(address, left);
    this.#all--;
  }
}
