/** The life of a client's connection. */

/**
 * - `idle`: without a connection; a request makes one, once the pause after a failure is over.
 * - `connecting`: until HELLO is answered; requests wait.
 * - `ready`: requests are sent as they come.
 * - `leaving`: the server takes nothing new, and what is under way is still answered.
 * - `closed`: by us, and for good; what is under way is still answered.
 */
export type LaneState = 'idle' | 'connecting' | 'ready' | 'leaving' | 'closed';
