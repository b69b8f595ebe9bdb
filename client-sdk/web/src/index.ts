/** Lyceum in the browser. Start with `join`. */
export { ControlPlane, measureRegions } from './control';
export {
  CAMERA_SIZE,
  type CameraSize,
  canShareScreen,
  DeviceError,
  type DeviceProblem,
  type Devices,
  LevelMeter,
  listDevices,
  openCamera,
  openMicrophone,
  openScreen,
  watchDevices,
} from './devices';
export { Encryption, type EncryptionEvents, type KeyFor, type Locked } from './e2ee/encryption';
export { type Key, keyFromPassphrase, newPassphrase, ratchet } from './e2ee/keyring';
export { Emitter, type Off } from './emitter';
export { canDecode, VIDEO_CODECS, type VideoCodec, type VideoOptions } from './encodings';
export { type Failure, LyceumError } from './errors';
export * from './generated';
export { join, type JoinOptions } from './join';
export { type PendingMessage } from './messages';
export { isName, NAME_BYTES_MAX, toName, trackKey, type TrackKey } from './names';
export {
  type Away,
  type Me,
  type Published,
  Room,
  type RoomEvents,
  type RoomOptions,
  type RoomState,
  type RoomStats,
} from './room';
export { type RosterChange } from './roster';
export { type ReceivedStats, type SentStats, type TransportStats } from './stats';
