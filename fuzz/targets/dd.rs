//! Dependency descriptors of one stream, one after the other; each is written again with another number and mask.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_fuzz::steps;
use lyceum_wire::dd::{Active, BYTES_MAX, Frame, Templates, rewrite};

fuzz_target!(|input: &[u8]| {
    let mut templates = Templates::default();
    let mut out = [0; BYTES_MAX + 16];
    for descriptor in steps(input) {
        let known = templates.clone();
        let Ok(frame) = templates.read(descriptor) else { continue };
        let structure = templates.structure().expect("a frame has a structure");
        assert!(structure.targets.len() <= 32 && structure.templates.len() <= 64);
        let number = frame.number.wrapping_add(1);
        let len = rewrite(descriptor, number, None, &mut out).expect("room");
        assert_eq!(known.clone().read(&out[..len]), Ok(Frame { number, ..frame }));
        // A structure that came along counts its own targets; else the one known before does.
        let own = known.clone().read(descriptor).is_ok().then(|| {
            let mut alone = Templates::default();
            match alone.read(descriptor) {
                Ok(_) => alone.structure().map(|s| s.target_count()),
                Err(_) => known.structure().map(|s| s.target_count()),
            }
        });
        let Some(targets) = own.flatten() else { continue };
        let mask = u32::from(number) & u32::try_from((1_u64 << targets) - 1).expect("32 bits");
        let len = rewrite(descriptor, number, Some(Active { mask, targets }), &mut out).expect("room");
        assert_eq!(known.clone().read(&out[..len]), Ok(Frame { number, active: mask, ..frame }));
    }
});
