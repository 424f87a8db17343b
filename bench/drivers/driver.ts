/** How the load generator speaks to one kind of server. */

/** The subject of one request: the ID of a record, made from its number. */
export interface Item {
  readonly id: Buffer;
  /** The key that opens the record, if the server returned one. */
  key?: Buffer | undefined;
}

export interface Driver {
  /** Opens one connection. */
  connect(): Promise<Connection>;
}

export interface Connection {
  store(item: Item, record: Buffer): Promise<void>;
  /** Resolves to how many bytes came back. */
  retrieve(item: Item): Promise<number>;
  remove(item: Item): Promise<void>;
  close(): Promise<void>;
}

/** What the generator's command line tells a driver. */
export interface Target {
  readonly protocol: 'frames' | 'http' | 'echo' | 'redis' | 'postgres' | 'mongo';
  readonly host: string;
  readonly port: number;
  /** MongoDB only: the connection string, and how many operations go into one call. */
  readonly uri?: string;
  readonly database?: string;
  readonly batch?: number;
}

export async function openDriver(target: Target): Promise<Driver> {
  switch (target.protocol) {
    case 'frames':
      return new (await import('./frames.ts')).FramesDriver(target);
    case 'echo':
      return new (await import('./frames.ts')).EchoDriver(target);
    case 'http':
      return new (await import('./http.ts')).HttpDriver(target);
    case 'redis':
      return new (await import('./redis.ts')).RedisDriver(target);
    case 'postgres':
      return new (await import('./postgres.ts')).PostgresDriver(target);
    case 'mongo':
      return new (await import('./mongo.ts')).MongoDriver(target);
  }
}
