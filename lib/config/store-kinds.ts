/** The kinds of store, apart from the schema, so that listing them does not load the schema. */
export const STORE_KINDS = ['level', 'memory', 'mongo'] as const;
