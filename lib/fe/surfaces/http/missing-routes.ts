/**
 * Answers requests that no route takes: an unknown path, or a method that its path does not have.
 */
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { EncServerError } from '../../../errors.ts';
import { answerFailure } from './answers.ts';
import type { HttpApp } from './host.ts';

/** The routes of an app, by their paths. */
export class Routes {
  readonly #methods = new Map<string, Set<string>>();

  /** Construct this before the routes are added. */
  constructor(app: HttpApp) {
    app.addHook('onRoute', (route: RouteOptions) => {
      const methods = this.#methods.get(route.url) ?? new Set();
      for (const method of [route.method].flat()) methods.add(method);
      this.#methods.set(route.url, methods);
    });
  }

  /** The methods that a path has, in alphabetical order; empty if there is no such path. */
  methodsOf(url: string): string[] {
    const path = url.split('?', 1)[0] as string;
    const found = [...this.#methods].filter(([route]) => matches(route, path));
    return [...new Set(found.flatMap(([, methods]) => [...methods]))].sort();
  }
}

/** Whether a path matches a route, which may have parameters `:name` and end with `*`. */
function matches(route: string, path: string): boolean {
  const parts = path.split('/');
  const pattern = route.split('/');
  // The rest has at least one part.
  if (parts.length < pattern.length) return false;
  if (parts.length > pattern.length && pattern.at(-1) !== '*') return false;
  return pattern.every((part, index) => {
    if (part === '*') return true;
    return part.startsWith(':') ? parts[index] !== '' : part === parts[index];
  });
}

export function answerMissingRoute(
  routes: Routes,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const methods = routes.methodsOf(request.url);
  if (methods.length === 0) return answerMissingPage(request, reply);
  const hint = 'the header Allow says which methods there are';
  const error = new EncServerError('UNKNOWN_VERB', 'no such method here', { hint });
  reply.header('allow', methods.join(', '));
  return answerFailure({ status: 405, error }, request, reply);
}

/** Also used by a route that does not find what it should serve. */
export function answerMissingPage(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const hint = 'see /docs for what there is';
  const error = new EncServerError('NOT_FOUND', 'there is no such page', { hint });
  return answerFailure({ status: 404, error }, request, reply);
}
