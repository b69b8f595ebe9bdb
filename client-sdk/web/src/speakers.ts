/** Plays the audio slots. One element per slot, not in the document. */

export class Loudspeaker {
  readonly #elements = new Map<string, HTMLAudioElement>();
  #deviceId = '';
  #blocked = false;

  /** `changed` is called when the browser begins or ceases to hold back sound until the person has clicked. */
  constructor(readonly changed: (blocked: boolean) => void) {}

  /** The browser plays nothing until the person has clicked somewhere: call `start` in a click. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** A slot has its track. */
  add(mid: string, track: MediaStreamTrack): void {
    const element = new Audio();
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    this.#elements.set(mid, element);
    if (this.#deviceId !== '') void this.#route(element);
    void this.#play(element);
  }

  /** To be called in a click. */
  async start(): Promise<void> {
    this.#block(false);
    await Promise.all([...this.#elements.values()].map(element => this.#play(element)));
  }

  /** Plays on another device. */
  async setDevice(deviceId: string): Promise<void> {
    this.#deviceId = deviceId;
    await Promise.all([...this.#elements.values()].map(element => this.#route(element)));
  }

  clear(): void {
    for (const element of this.#elements.values()) {
      element.pause();
      element.srcObject = null;
    }
    this.#elements.clear();
  }

  async #play(element: HTMLAudioElement): Promise<void> {
    try {
      await element.play();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') this.#block(true);
    }
  }

  async #route(element: HTMLAudioElement): Promise<void> {
    if ('setSinkId' in element) await element.setSinkId(this.#deviceId);
  }

  #block(blocked: boolean): void {
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.changed(blocked);
  }
}
