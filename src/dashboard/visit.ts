import type { Request } from 'express';
import type { InstanceRecord } from '../broker/model.js';
import type { Frame } from './frame.js';
import type { Session } from './session.js';

/** The part of a page that its screen makes. */
export interface Shown extends Pick<Frame, 'content' | 'scripts' | 'styles' | 'notices'> {
  /** When what it shows was read, if that was not just now. */
  since?: string;
}

/** A person at one instance. */
export interface Visit {
  instance: InstanceRecord;
  session: Session;
  /** The address of the instance's dashboard. */
  base: string;
  /** When the instance's record was read, if that was not just now. */
  since?: string;
  /** Answers with a page in place of going on to the screen. */
  show(page: Shown, status?: number): void;
}

export type Page = (visit: Omit<Visit, 'show'>, request: Request) => Promise<Shown>;

/** Where a form leads to when it is done. */
export interface Done {
  /** The name of what is said of it, see `told.ts`. */
  told: string;
  /** The place on the screen, as the end of its address: `?` and a query. */
  address?: string;
}

/**
 * What a form does.
 * @returns undefined when it has answered by itself
 * @throws BrokerError, which is shown on the screen
 */
export type Action = (visit: Visit, request: Request) => Promise<Done | undefined>;
