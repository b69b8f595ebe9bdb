import type { LocalState } from './local-media';
import { texts } from './texts';

/** What is wrong with the own devices, in one sentence where one is enough. */
export function deviceProblems({ camera, microphone }: LocalState): string[] {
  const { problem } = texts.devices;
  if (camera.problem !== null && camera.problem === microphone.problem) {
    return [problem('camera and microphone', camera.problem)];
  }
  return [
    ...(camera.problem === null ? [] : [problem('camera', camera.problem)]),
    ...(microphone.problem === null ? [] : [problem('microphone', microphone.problem)]),
  ];
}
