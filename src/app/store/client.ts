/** The page's one engine. */
import { startEngine } from '../engine';

export const engine = startEngine();
