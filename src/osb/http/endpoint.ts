import type { Request, RequestHandler } from 'express';
import { StillInProgress } from '../../broker/errors.js';
import { ANSWER_WITHIN_MS } from '../../broker/times.js';

/** What an endpoint answers: always a JSON object, as the specification demands. */
export interface Answer {
  status: number;
  body: object;
  headers?: Readonly<Record<string, string>>;
}

/** @param signal aborted when the platform has gone away (and when it has its answer) */
export type Endpoint = (request: Request, signal: AbortSignal) => Promise<Answer>;

/** A little after an operation's own answer is due, so that the operation's comes first. */
const LATEST_ANSWER_MS = ANSWER_WITHIN_MS + 500;

/**
 * Sends what an endpoint answers, in time: when etcd is so slow that there is no answer yet, the platform is told
 * so, and what was begun goes on by itself.
 */
export function serve(endpoint: Endpoint): RequestHandler {
  return async (request, response) => {
    const gone = new AbortController();
    // Without a reason, each abort would make an error with a stack, which nobody looks at.
    response.once('close', () => gone.abort('closed'));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new StillInProgress('The etcd cluster is slow or does not answer. Try again in a minute.'));
      }, LATEST_ANSWER_MS);
    });
    try {
      const { status, body, headers } = await Promise.race([endpoint(request, gone.signal), late]);
      response
        .status(status)
        .set(headers ?? {})
        .json(body);
    } finally {
      clearTimeout(timer);
    }
  };
}
