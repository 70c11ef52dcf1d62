import { addonIsBuilt, findTrainedModel } from '../checkpoints.js';

export const trained = findTrainedModel();
/** False if the addon or the trained model is missing. */
export const canRun = addonIsBuilt() && trained !== undefined;
if (!trained) console.warn('SKIPPED: these tests need models/grok-tiny');
