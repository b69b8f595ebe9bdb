import { ControlPlane, measureRegions } from './control';
import { LyceumError } from './errors';
import { isName } from './names';
import { Room, type RoomOptions } from './room';

/** What `join` needs: round-trip times are measured when not given. */
export type JoinOptions = Omit<RoomOptions, 'rttMs'> & Partial<Pick<RoomOptions, 'rttMs'>>;

/**
 * Joins a room: measures the regions, gets a token unless one is given, lets the control plane choose an edge, connects.
 * Resolves when an edge has taken us in; media follows (`room.state`). Rejects with a `LyceumError`.
 */
export async function join(options: JoinOptions): Promise<Room> {
  if (!isName(options.room)) {
    throw new LyceumError(
      'bad_name',
      'A room name has 1 to 64 letters, digits, dots, dashes and underscores.',
    );
  }
  const room = new Room({ ...options, rttMs: options.rttMs ?? (await measure(options)) });
  await room.enter();
  return room;
}

async function measure(options: JoinOptions): Promise<Record<string, number>> {
  // Whoever has chosen a region goes there, however far it is.
  if (options.region !== undefined) return {};
  return measureRegions((await new ControlPlane(options.url).regions()).regions);
}
