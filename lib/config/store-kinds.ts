/** The kinds of store, apart from the schema: who only lists them needs not load all of it. */
export const STORE_KINDS = ['level', 'memory', 'mongo'] as const;
