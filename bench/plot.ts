/** Line plots as SVG, without a library: the axes, the lines, their names. */

export interface Line {
  readonly name: string;
  /** x and y, ascending by x. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly lines: readonly Line[];
  /** Whether the x axis is logarithmic. */
  readonly isLogX?: boolean;
}

const [WIDTH, HEIGHT, LEFT, TOP] = [640, 320, 80, 40];
const COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#8c564b', '#e377c2', '#7f7f7f'];
const TICKS = 5;

export function svgOf({ title, x, y, lines, isLogX = false }: Plot): string {
  const all = lines.flatMap(({ points }) => points);
  const scale = (value: number) => (isLogX ? Math.log10(value) : value);
  const xs = all.map(([at]) => scale(at));
  const [from, to] = [Math.min(...xs), Math.max(...xs)];
  const top = 1.1 * Math.max(...all.map(([, value]) => value));
  const atX = (value: number) => LEFT + ((scale(value) - from) / (to - from || 1)) * WIDTH;
  const atY = (value: number) => TOP + HEIGHT - (value / top) * HEIGHT;
  const parts = [
    `<rect x="${LEFT}" y="${TOP}" width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="#999"/>`,
    text(LEFT, TOP - 16, title, 'start', 'bold'),
    text(LEFT + WIDTH / 2, TOP + HEIGHT + 40, x, 'middle'),
    text(LEFT, TOP - 2, y, 'start'),
  ];
  for (let tick = 0; tick <= TICKS; tick++) {
    const value = (top * tick) / TICKS;
    parts.push(text(LEFT - 6, atY(value) + 4, shortly(value), 'end'));
  }
  for (const value of new Set(all.map(([at]) => at))) {
    parts.push(text(atX(value), TOP + HEIGHT + 18, shortly(value), 'middle'));
  }
  for (const [index, { name, points }] of lines.entries()) {
    const colour = COLOURS[index % COLOURS.length];
    const path = points.map(([at, value]) => `${atX(at).toFixed(1)},${atY(value).toFixed(1)}`);
    parts.push(
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${path.join(' ')}"/>`,
    );
    parts.push(text(LEFT + WIDTH + 12, TOP + 16 + 20 * index, name, 'start', 'normal', colour));
  }
  const box = `0 0 ${LEFT + WIDTH + 220} ${TOP + HEIGHT + 56}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box}" font-family="sans-serif" font-size="12"><title>${escaped(title)}</title><rect width="100%" height="100%" fill="#fff"/>${parts.join('')}</svg>\n`;
}

function text(
  x: number,
  y: number,
  words: string,
  anchor: string,
  weight = 'normal',
  colour = '#333',
): string {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"`;
  return `<text ${place} font-weight="${weight}" fill="${colour}">${escaped(words)}</text>`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function shortly(value: number): string {
  if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e3) return `${+(value / 1e3).toPrecision(3)}k`;
  return `${+value.toPrecision(3)}`;
}
