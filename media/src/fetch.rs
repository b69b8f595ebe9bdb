//! Asking memory for what will be read soon.
//!
//! A crowd's state is more than a processor's caches hold, and each piece of it that is read for the first time in a turn stands the
//! thread still for as long as hundreds of instructions take. Whoever knows what comes next asks for it and works on.
//! It is a hint: nothing is read, nothing waits, and where there is no such instruction nothing happens.

/// Bytes that come at once.
const LINE: usize = 64;

/// Asks for the beginning of something.
#[inline]
pub(crate) fn fetch<T>(of: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(of);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = of;
}

/// Asks for all of a row.
#[inline]
pub(crate) fn fetch_all<T>(row: &[T]) {
    row.iter().step_by((LINE / size_of::<T>().max(1)).max(1)).for_each(fetch);
}
