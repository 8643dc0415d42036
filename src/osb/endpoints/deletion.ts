import type { DeleteAnswer } from '../../broker/requests/unbind.js';
import type { Answer } from '../http/endpoint.js';

/** The answer to a DELETE (specification: "Deprovisioning" and "Unbinding"). */
export function deletionAnswer(answer: DeleteAnswer): Answer {
  return answer.kind === 'accepted'
    ? { status: 202, body: { operation: answer.operationId } }
    : { status: 200, body: {} };
}
