/** Settings from one place, before they are checked. A later layer overrides an earlier one. */

/** Values by section and key. Made without a prototype, so that no name is special. */
export type Settings = Record<string, Record<string, unknown>>;

export interface Layer {
  readonly settings: Settings;
  /** The place of a setting in this layer, for people. */
  place(section: string, key: string): string;
}

/** Sets one value. Undefined counts as not set. */
export function put(settings: Settings, section: string, key: string, value: unknown): void {
  if (value === undefined) return;
  settings[section] ??= emptyRecord();
  settings[section][key] = value;
}

export function emptyRecord<V>(): Record<string, V> {
  return Object.create(null) as Record<string, V>;
}

/** Whether the layer gives the setting. */
export function gives(layer: Layer, section: string, key: string): boolean {
  return layer.settings[section]?.[key] !== undefined;
}

/** Merges all layers; the last one that gives a setting wins. */
export function merge(layers: readonly Layer[]): Settings {
  const merged: Settings = emptyRecord();
  for (const { settings } of layers) {
    for (const [section, values] of Object.entries(settings)) {
      for (const [key, value] of Object.entries(values)) put(merged, section, key, value);
    }
  }
  return merged;
}

/** The place where a setting got its value; undefined if it has its default. */
export function placeOf(
  layers: readonly Layer[],
  section: string,
  key: string,
): string | undefined {
  return layers.findLast((layer) => gives(layer, section, key))?.place(section, key);
}
