import type { Request, Response } from 'express';
import type { OsbContext } from '../context.js';

/** GET /v2/catalog (specification: "Catalog Management"), with an entity tag and 304 for it. */
export function catalog({ catalog: { body, etag } }: OsbContext) {
  return (request: Request, response: Response): void => {
    response.setHeader('ETag', etag);
    if (namesTag(request.headers['if-none-match'], etag)) {
      response.status(304).end();
      return;
    }
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.setHeader('Content-Length', body.length);
    response.end(body);
  };
}

/** RFC 9110, section 13.1.2: tags are compared weakly, and `*` names every one. */
function namesTag(header: string | undefined, etag: string): boolean {
  return (
    header?.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag) ?? false
  );
}
