/** Counts connections, per address and in total. */
import { networkOf } from '../access.ts';
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
    const network = networkOf(address);
    const count = this.#perAddress.get(network) ?? 0;
    if (count >= connectionsPerAddressMax) {
      const hint = 'close some, or use one for several requests';
      return new EncServerError('OVERLOADED', 'too many connections of one address', { hint });
    }
    this.#perAddress.set(network, count + 1);
    this.#all++;
    return undefined;
  }

  leave(address: string): void {
    const network = networkOf(address);
    const left = (this.#perAddress.get(network) ?? 1) - 1;
    if (left === 0) this.#perAddress.delete(network);
    else this.#perAddress.set(network, left);
    this.#all--;
  }
}
