/** Stops a listener. */
export type Off = () => void;

/** Typed events: `Events` maps the name of an event to what its listeners are told. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls `listener` at every `name` from now on. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): Off {
    let set = this.#listeners.get(name);
    if (!set) this.#listeners.set(name, (set = new Set()));
    set.add(listener);
    return () => set.delete(listener);
  }

  /** Tells the listeners. One that throws does not keep the others from hearing it. */
  protected emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (event: Events[Name]) => void)(event);
      } catch (error) {
        // As the browser does with a listener of its own events: reported, not swallowed, nobody else affected.
        reportError(error);
      }
    }
  }
}
