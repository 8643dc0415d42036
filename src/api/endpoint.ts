import type { Request, Response } from 'express';
import type { Administration } from '../administration/administration.js';
import { NotFound } from '../broker/errors.js';
import type { InstanceRecord, JsonObject, OperationRecord } from '../broker/model.js';
import { recipeShape } from './shapes.js';

/** What an endpoint's handler knows of its request. */
export interface Asked {
  instance: InstanceRecord;
  request: Request;
  /** The address of the instance's part of the API. */
  base: string;
}

/** One endpoint: its route, its validation and its description are made from this. */
export interface ApiEndpoint {
  method: 'get' | 'post' | 'delete';
  /** Below the instance, as OpenAPI writes it: `/deployments/{deployment_id}/scalings`. */
  path: string;
  summary: string;
  /** The JSON schema of the body; without one no body is read. */
  body?: JsonObject;
  /** Parameters of the query: a schema for each name. */
  query?: Readonly<Record<string, JsonObject>>;
  /** The status of success and the schema of its body. */
  status: number;
  answer: JsonObject;
  handle(asked: Asked): Promise<object>;
}

/** An endpoint that does not answer with JSON, and sends its answer by itself. */
export interface FileEndpoint extends Omit<ApiEndpoint, 'answer' | 'handle'> {
  mediaType: string;
  send(asked: Asked, response: Response): Promise<void>;
}

export const DEPLOYMENT = '/deployments/{deployment_id}';

/** A change answers with the recipe that it is. */
export async function recipeOf({ instance }: Asked, change: Promise<OperationRecord>): Promise<object> {
  return recipeShape(await change, instance.deployment_id);
}

/** The instance of a request, if the deployment of its address is its own. @throws NotFound */
export async function instanceOf({ parts }: Administration, request: Request): Promise<InstanceRecord> {
  const { instance_id, deployment_id } = request.params;
  const stored = await parts.broker.records.readInstance(String(instance_id));
  const isOther = deployment_id !== undefined && deployment_id !== stored?.value.deployment_id;
  if (stored === undefined || isOther) {
    throw new NotFound('There is no such deployment.');
  }
  return stored.value;
}
