import type { NextFunction, Request, Response } from 'express';
import { HttpError } from './errors.js';

const OLDEST_MINOR = 13;

/**
 * `X-Broker-API-Version` (specification: "API Version Header"). Every 2.x from 2.13 is served, later ones too:
 * minor versions only add.
 */
export function apiVersion(request: Request, _response: Response, next: NextFunction): void {
  // Not `<`, since a malformed header gives NaN.
  if (!(minorVersion(request) >= OLDEST_MINOR)) {
    throw new HttpError(
      412,
      `The header X-Broker-API-Version must be 2.${OLDEST_MINOR} or a later 2.x; this service broker follows 2.17.`,
    );
  }
  next();
}

/** The x of the 2.x that the platform speaks; NaN when its header says something else. */
export function minorVersion(request: Request): number {
  const [, minor] = /^2\.(\d{1,6})$/.exec(request.get('X-Broker-API-Version') ?? '') ?? [];
  return Number(minor);
}
