/** The numbers of lines that are not where they belong; some turn up later. */

export interface MissingRange {
  readonly first: number;
  readonly last: number;
  /** The line that stands in their place. */
  readonly path: string;
  readonly lineNumber: number;
}

export class Missing {
  #ranges: MissingRange[] = [];

  get ranges(): readonly MissingRange[] {
    return this.#ranges;
  }

  add(range: MissingRange): void {
    this.#ranges.push(range);
  }

  /** Removes a number that turned up; false if it was not missing. */
  fill(number: number): boolean {
    const found = this.#ranges.find(({ first, last }) => number >= first && number <= last);
    if (found === undefined) return false;
    const parts = [
      { ...found, last: number - 1 },
      { ...found, first: number + 1 },
    ];
    this.#ranges = this.#ranges.flatMap((range) =>
      range === found ? parts.filter(({ first, last }) => first <= last) : [range],
    );
    return true;
  }
}
