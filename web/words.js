/** What a failure means for the user of the page, and what they can do about it. */

const WORDS = {
  NOT_FOUND: 'There is no such record. Look at the ID; it may have ended, or been deleted.',
  WRONG_KEY: 'The key does not open this record. Look at it again: all its digits, none missing.',
  INVALID_KEY:
    'That is no key. It has 64 hexadecimal digits, 0 to 9 and a to f; an old one has 32 or 48.',
  INVALID_ID: 'That is no ID: it has 1 to 1,024 bytes.',
  ALTERED: 'The stored bytes were changed. Ask whoever runs the server.',
  KEY_REQUIRED: 'To replace or delete what is there, show its key.',
  RECORD_TOO_LARGE: 'This is longer than the server takes. Split it, or ask whoever runs it.',
  UNAVAILABLE: 'The back end cannot be reached. Nothing was done; try again in a moment.',
  OVERLOADED: 'The server has too much to do. Try again in a moment.',
  RATE_LIMITED: 'That was too often. Wait a moment.',
  UNAUTHENTICATED: 'The server wants to know who asks: give an access token above.',
  INVALID_TOKEN: 'That is no access token. Copy it again: letters, digits, _ and - alone.',
  NOT_ALLOWED: 'You may not do that here. Ask whoever runs the server.',
  TIMEOUT: 'It took too long. Try again.',
  NO_ANSWER: 'The server did not answer. Look at your connection, then try again.',
  SILENT: 'The server has sent nothing for 30 seconds. Look at your connection, then try again.',
  UNKNOWN_OUTCOME: 'The answer got lost: it may have been done. Try again, with the same key.',
  KEYRING_MISSING: 'The server lacks its keyring. Ask whoever runs it.',
  FILE_CHANGED:
    'The file has changed since it was chosen, or cannot be read. Choose it again; nothing was sent.',
  CUT_LINK:
    'This link is not whole: a part of it is missing, or a letter wrong. Nothing was opened.',
};

export function wordsOf(error) {
  const { code = '', message, detail = '' } = error;
  if (code === 'ALREADY_READ') {
    const at = /\d{4}-\d{2}-\d{2}T[\d:.]+Z/.exec(message)?.[0];
    const when = at === undefined ? '' : `, ${new Date(at).toLocaleString()}`;
    return `It could be read once, and was${when}. Ask whoever sent it for another.`;
  }
  if (code === 'CONFLICT') return 'There is something under that ID already.';
  if (WORDS[code] !== undefined) return WORDS[code];
  return [message, detail].filter(Boolean).join('; ') || 'That did not work.';
}
