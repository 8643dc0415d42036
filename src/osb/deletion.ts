import type { Response } from 'express';
import type { DeleteAnswer } from '../broker/unbind.js';

/** The answer to a DELETE (specification: "Deprovisioning" and "Unbinding"). */
export function sendDeletion(response: Response, answer: DeleteAnswer): void {
  if (answer.kind === 'accepted') {
    response.status(202).json({ operation: answer.operationId });
  } else {
    response.status(200).json({});
  }
}
