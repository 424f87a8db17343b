/** V8's CPU profiles as flame graphs, and as a list of the most expensive functions. */

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

/** As `node --cpu-prof` writes it; times in microseconds. */
export interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  readonly url: string;
  /** Share of all the time that was not idle. */
  readonly share: number;
}

const IDLE = '(idle)';
const [WIDTH, ROW] = [1_200, 16];
/** Anything narrower than this, in pixels, is left out. */
const NARROW = 0.5;

/** The most expensive first. */
export function selfTimes(profile: Profile): SelfTime[] {
  const micros = microsById(profile);
  const sums = new Map<string, { name: string; url: string; micros: number }>();
  let all = 0;
  for (const { id, callFrame } of profile.nodes) {
    if (callFrame.functionName === IDLE) continue;
    const own = micros.get(id) ?? 0;
    const name = callFrame.functionName || '(anonymous)';
    const label = `${name} ${callFrame.url}`;
    const known = sums.get(label) ?? { name, url: callFrame.url, micros: 0 };
    known.micros += own;
    all += own;
    sums.set(label, known);
  }
  return [...sums.values()]
    .sort((a, b) => b.micros - a.micros)
    .map(({ name, url, micros: own }) => ({ name, url, share: own / all }));
}

export function flameOf(profile: Profile): string {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const own = microsById(profile);
  const totals = new Map<number, number>();
  const totalOf = (node: ProfileNode): number => {
    const children = (node.children ?? []).map((id) => nodes.get(id) as ProfileNode);
    const isIdle = node.callFrame.functionName === IDLE;
    const total = children.reduce(
      (sum, child) => sum + totalOf(child),
      isIdle ? 0 : (own.get(node.id) ?? 0),
    );
    totals.set(node.id, total);
    return total;
  };
  const [root] = profile.nodes;
  if (root === undefined) return '';
  const all = totalOf(root);
  const parts: string[] = [];
  let depthMax = 0;
  const draw = (node: ProfileNode, x: number, depth: number): void => {
    const total = totals.get(node.id) ?? 0;
    const width = (WIDTH * total) / all;
    if (width < NARROW) return;
    depthMax = Math.max(depthMax, depth);
    parts.push(boxOf(node, x, depth, width, total / all));
    let at = x;
    for (const id of node.children ?? []) {
      draw(nodes.get(id) as ProfileNode, at, depth + 1);
      at += (WIDTH * (totals.get(id) ?? 0)) / all;
    }
  };
  draw(root, 0, 0);
  const height = ROW * (depthMax + 1);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11"><title>CPU profile</title><rect width="100%" height="100%" fill="#fff"/>${parts.join('')}</svg>\n`;
}

function boxOf(
  { callFrame }: ProfileNode,
  x: number,
  depth: number,
  width: number,
  share: number,
): string {
  const { functionName, url } = callFrame;
  const name = escaped(functionName || '(anonymous)');
  // Ours, node's own, and code that is not JavaScript.
  const colour = url.includes('/lib/') ? '#f28e2b' : url === '' ? '#bab0ac' : '#edc948';
  const words = `${name} ${escaped(url.split('/').at(-1) ?? '')} ${(100 * share).toFixed(1)} %`;
  const place = `x="${x.toFixed(1)}" y="${depth * ROW}"`;
  const label =
    width < 40
      ? ''
      : `<text x="${(x + 3).toFixed(1)}" y="${depth * ROW + 12}">${name.slice(0, Math.floor(width / 7))}</text>`;
  return `<g><title>${words}</title><rect ${place} width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colour}"/>${label}</g>`;
}

function microsById({ samples, timeDeltas }: Profile): Map<number, number> {
  const micros = new Map<number, number>();
  for (const [index, id] of samples.entries()) {
    micros.set(id, (micros.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  }
  return micros;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
