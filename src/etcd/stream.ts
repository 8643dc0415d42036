import { callAt } from './calls.js';
import type { Place } from './endpoints.js';
import { EtcdError, toEtcdError } from './errors.js';

/** A stream of messages to etcd. See the transport's `Call` for what each method does. */
export interface Stream<Request extends object> {
  /** False when more waits than is good: go on after `onDrain`. */
  write(message: Request): boolean;
  /** No more messages from our side. */
  end(): void;
  /** Ends the stream at once; `onEnd` is told `undefined`. */
  cancel(): void;
  /** Lets etcd wait with more messages, until {@link resume}. */
  pause(): void;
  resume(): void;
}

export interface StreamHandlers<Response> {
  onMessage(message: Response): void;
  /** Exactly once, after the last message. `undefined` when etcd ended the stream well, or it was cancelled here. */
  onEnd(error: EtcdError | undefined): void;
  onDrain?(): void;
}

/** Opens a stream of one of etcd's calls at a place. @param path e.g. `/etcdserverpb.Watch/Watch` */
export function openStream<Request extends object, Response>(
  { connection }: Place,
  path: string,
  token: string | undefined,
  handlers: StreamHandlers<Response>,
): Stream<Request> {
  const { request, response } = callAt(path);
  let failure: EtcdError | undefined;
  let isCancelled = false;
  const call = connection.call(path, token, {
    onMessage: (bytes) => {
      let message: Response;
      try {
        message = response.decode(bytes) as Response;
      } catch (cause) {
        failure = new EtcdError('other', 'etcd sent a message that can not be read', { cause });
        call.cancel();
        return;
      }
      handlers.onMessage(message);
    },
    onEnd: (end) => {
      const isWell = isCancelled || end.code === 0;
      handlers.onEnd(failure ?? (isWell ? undefined : toEtcdError(end)));
    },
    onDrain: () => handlers.onDrain?.(),
  });
  return {
    write: (message) => call.write(request.encode(message)),
    end: () => call.end(),
    cancel: () => {
      isCancelled = true;
      call.cancel();
    },
    pause: () => call.pause(),
    resume: () => call.resume(),
  };
}
