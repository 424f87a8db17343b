/** The kinds of store, apart from the schema, so that listing them does not load the schema. */
export const STORE_KINDS = ['level', 'memory', 'mongo'] as const;

export type StoreKind = (typeof STORE_KINDS)[number];

/** Those whose snapshots show one moment; in the others, each item is whole for itself. */
export const ONE_MOMENT_KINDS: readonly StoreKind[] = ['level', 'memory'];
