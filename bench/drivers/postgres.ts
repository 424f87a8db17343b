/**
 * PostgreSQL with pgcrypto: a row whose data the database encrypts (AES-CBC, `encrypt_iv`, which
 * authenticates nothing) under a fresh key that the caller keeps, by prepared statements.
 */
import { Client } from 'pg';
import { randomBytesPooled, randomKey } from '../../lib/crypto/random.ts';
import type { Connection, Driver, Item, Target } from './driver.ts';

const IV_BYTES = 16;

const STORE = {
  name: 'store',
  text:
    "INSERT INTO records (id, iv, data) VALUES ($1, $2, encrypt_iv($3, $4, $2, 'aes-cbc')) " +
    'ON CONFLICT (id) DO UPDATE SET iv = EXCLUDED.iv, data = EXCLUDED.data',
};
const RETRIEVE = {
  name: 'retrieve',
  text: "SELECT decrypt_iv(data, $2, iv, 'aes-cbc') AS data FROM records WHERE id = $1",
};
const REMOVE = { name: 'remove', text: 'DELETE FROM records WHERE id = $1' };

class PostgresConnection implements Connection {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async store(item: Item, record: Buffer): Promise<void> {
    const key = randomKey();
    item.key = key;
    const values = [item.id, randomBytesPooled(IV_BYTES), record, key];
    await this.#client.query({ ...STORE, values });
  }

  async retrieve({ id, key }: Item): Promise<number> {
    const { rows } = await this.#client.query({ ...RETRIEVE, values: [id, key] });
    return (rows[0] as { data: Buffer } | undefined)?.data.length ?? 0;
  }

  async remove({ id }: Item): Promise<void> {
    await this.#client.query({ ...REMOVE, values: [id] });
  }

  async close(): Promise<void> {
    await this.#client.end();
  }
}

export class PostgresDriver implements Driver {
  readonly #target: Target;

  constructor(target: Target) {
    this.#target = target;
  }

  async connect(): Promise<Connection> {
    const { host, port } = this.#target;
    const client = new Client({ host, port, user: 'bench', database: 'postgres' });
    await client.connect();
    return new PostgresConnection(client);
  }
}
