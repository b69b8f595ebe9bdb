//! Descriptors by hand, structures as encoders make them, and round trips.

use super::*;
use crate::golden::hex;
use Indication::{Discardable, NotPresent, Required, Switch};
use proptest::prelude::*;

fn layer(spatial: u8, temporal: u8) -> Layer {
    Layer { spatial, temporal }
}

/// Two temporal layers of one picture, as an encoder with one chain describes them.
fn l1t2() -> Structure {
    let template = |temporal, indications: &[Indication], diffs: &[u16], chain| Template {
        layer: layer(0, temporal),
        indications: Indications::new(indications),
        diffs: Diffs::new(diffs),
        chains: Chains::new(&[chain]),
    };
    Structure {
        id_offset: 60,
        templates: vec![
            template(0, &[Switch, Switch], &[], 0),
            template(0, &[Switch, Switch], &[2], 2),
            template(1, &[NotPresent, Discardable], &[1], 1),
        ],
        targets: vec![Target { layer: layer(0, 0), chain: Some(0) }, Target { layer: layer(0, 1), chain: Some(0) }],
        chains: 1,
        sizes: vec![Size { width: 320, height: 180 }],
    }
}

fn fields(structure: &Structure) -> Fields<'_> {
    Fields {
        start: true,
        end: false,
        template: structure.id_offset,
        number: 0x1234,
        structure,
        attach: false,
        active: None,
        indications: None,
        diffs: None,
        chains: None,
    }
}

fn written(fields: &Fields<'_>) -> Vec<u8> {
    let mut out = vec![0xff; BYTES_MAX];
    let len = fields.write(&mut out).unwrap();
    out.truncate(len);
    out
}

#[test]
fn a_structure_bit_by_bit() {
    let structure = l1t2();
    let bytes = written(&Fields { attach: true, ..fields(&structure) });
    // 1 0 111100 | number | 10000 | offset 111100, targets 00001 | next layers 00 01 11 | indications 1010 1010 0001 |
    // references 0, 1 0001 0, 1 0000 0 | one chain 10, protecting all | chains 0000 0010 0001 | sizes 1: 319, 179
    assert_eq!(bytes, hex("bc 1234 87 81 1e a8 51 41 01 0c 04 fc 02 cc"), "{bytes:02x?}");
    let mut templates = Templates::default();
    let frame = templates.read(&bytes).unwrap();
    assert_eq!(templates.structure(), Some(&structure));
    assert_eq!((frame.start, frame.end, frame.number, frame.layer), (true, false, 0x1234, layer(0, 0)));
    assert_eq!((frame.active, frame.has_structure), (0b11, true));
    assert_eq!(frame.size, Some(Size { width: 320, height: 180 }));
    assert_eq!(frame.diffs.as_slice(), [0; 0]);
    // What follows names a template by three bytes: id 62 is the third.
    let frame = templates.read(&hex("fe 1235")).unwrap();
    assert_eq!((frame.layer, frame.diffs.as_slice(), frame.chains.as_slice()), (layer(0, 1), &[1][..], &[1][..]));
    assert_eq!(
        [frame.indications.of(0), frame.indications.of(1), frame.indications.of(9)],
        [NotPresent, Discardable, NotPresent]
    );
    assert_eq!(templates.read(&hex("ff 1236")), Err(Error::UnknownTemplate), "63 is not among them");
}

#[test]
fn what_differs_from_the_template_is_said_in_the_packet() {
    let structure = l1t2();
    let mut templates = Templates::default();
    templates.read(&written(&Fields { attach: true, ..fields(&structure) })).unwrap();
    let custom = Fields {
        number: 0x1235,
        active: Some(0b01),
        indications: Some(Indications::new(&[Required, Switch])),
        diffs: Some(Diffs::new(&[1, 16, 17, 4_096])),
        chains: Some(Chains::new(&[200])),
        ..fields(&structure)
    };
    let frame = templates.read(&written(&custom)).unwrap();
    assert_eq!(frame.active, 0b01);
    assert_eq!([frame.indications.of(0), frame.indications.of(1)], [Required, Switch]);
    assert_eq!(frame.diffs.as_slice(), [1, 16, 17, 4_096]);
    assert_eq!(frame.chains.as_slice(), [200]);
    let next = templates.read(&written(&Fields { number: 0x1236, ..fields(&structure) })).unwrap();
    assert_eq!(next.active, 0b01, "it stays so");
    let late = templates.read(&written(&Fields { number: 0x1230, active: Some(0b11), ..fields(&structure) })).unwrap();
    assert_eq!(late.active, 0b11);
    let next = templates.read(&written(&Fields { number: 0x1237, ..fields(&structure) })).unwrap();
    assert_eq!(next.active, 0b01, "a late packet changes nothing");
}

#[test]
fn a_late_key_frame_does_not_bring_an_old_structure_back() {
    let (old, mut new) = (l1t2(), l1t2());
    new.id_offset = 10;
    let mut templates = Templates::default();
    let whole = |structure, number| written(&Fields { attach: true, number, ..fields(structure) });
    assert_eq!(templates.read(&hex("bc 0001")), Err(Error::UnknownTemplate), "nothing is known yet");
    templates.read(&whole(&new, 3)).unwrap();
    let late = templates.read(&whole(&old, 65_530)).unwrap();
    assert!(late.has_structure, "by itself it can be read");
    assert_eq!(templates.structure().unwrap().id_offset, 10);
}

#[test]
fn descriptors_that_end_early_or_cannot_be() {
    let structure = l1t2();
    let whole = written(&Fields { attach: true, ..fields(&structure) });
    for len in 0..whole.len() {
        let mut templates = Templates::default();
        let expected = if len == 3 { Error::UnknownTemplate } else { Error::Truncated };
        assert_eq!(templates.read(&whole[..len]), Err(expected), "{len} bytes");
        assert_eq!(templates.structure(), None);
    }
    // Nine temporal layers.
    let endless = [&hex("80 0001 80 00")[..], &[0x55; 30]].concat();
    assert_eq!(Templates::default().read(&endless), Err(Error::Structure));
    // Sixty-five templates of one layer.
    let many = [&hex("80 0001 80 00")[..], &[0; 30]].concat();
    assert_eq!(Templates::default().read(&many), Err(Error::Structure));
    // More references than a decoder has places.
    let mut templates = Templates::default();
    templates.read(&whole).unwrap();
    let greedy = hex("bc 1235 12 08 20 82 08 20 82 00");
    assert_eq!(templates.read(&greedy), Err(Error::Structure));
}

#[test]
fn a_copy_has_another_number_and_fewer_active_targets() {
    let structure = l1t2();
    let key = written(&Fields { attach: true, ..fields(&structure) });
    let plain = written(&Fields { template: 62, ..fields(&structure) });
    let custom = written(&Fields {
        template: 62,
        active: Some(0b11),
        chains: Some(Chains::new(&[9])),
        diffs: Some(Diffs::new(&[3])),
        ..fields(&structure)
    });
    for original in [key, plain, custom] {
        let mut templates = Templates::default();
        templates.read(&written(&Fields { attach: true, ..fields(&structure) })).unwrap();
        let before = templates.clone().read(&original).unwrap();
        let mut out = [0; BYTES_MAX];
        let len = rewrite(&original, 7, None, &mut out).unwrap();
        assert_eq!(len, original.len());
        let after = templates.clone().read(&out[..len]).unwrap();
        assert_eq!(after, Frame { number: 7, ..before });

        let active = Active { mask: 0b01, targets: 2 };
        let len = rewrite(&original, 8, Some(active), &mut out).unwrap();
        let after = templates.read(&out[..len]).unwrap();
        assert_eq!(after, Frame { number: 8, active: 0b01, ..before });
        assert!(rewrite(&original, 8, Some(active), &mut out[..len - 1]).is_err());
        assert!(rewrite(&original[..2], 8, None, &mut out).is_err());
    }
}

fn any_structure() -> impl Strategy<Value = Structure> {
    let indication = prop_oneof![Just(NotPresent), Just(Discardable), Just(Switch), Just(Required)];
    let template = (
        prop::collection::vec(indication, 32),
        prop::collection::vec(1u16..=16, 0..=DIFFS_MAX),
        prop::collection::vec(0u8..16, 32),
        0u8..3,
    );
    let size = (1u16..=u16::MAX, 1u16..=u16::MAX).prop_map(|(width, height)| Size { width, height });
    (
        prop::collection::vec(template, 1..20),
        1usize..=32,
        0u8..=32,
        0u8..64,
        prop::collection::vec(size, 8),
        any::<bool>(),
    )
        .prop_map(|(rows, targets, chains, id_offset, sizes, sized)| {
            let chains = chains.min(targets as u8);
            let mut at = Layer::default();
            let mut templates = Vec::new();
            for (n, (indications, diffs, chain, step)) in rows.into_iter().enumerate() {
                match step {
                    1 if n > 0 && at.temporal < 7 => at.temporal += 1,
                    2 if n > 0 && at.spatial < 7 => at = layer(at.spatial + 1, 0),
                    _ => {}
                }
                templates.push(Template {
                    layer: at,
                    indications: Indications::new(&indications[..targets]),
                    diffs: Diffs::new(&diffs),
                    chains: Chains::new(&chain[..usize::from(chains)]),
                });
            }
            let highest = |target: usize| {
                let parts = templates.iter().filter(|t| t.indications.of(target) != NotPresent);
                parts.fold(Layer::default(), |a, t| {
                    layer(a.spatial.max(t.layer.spatial), a.temporal.max(t.layer.temporal))
                })
            };
            let chain = |target: usize| (chains > 0).then(|| (target % usize::from(chains.max(1))) as u8);
            let targets = (0..targets).map(|n| Target { layer: highest(n), chain: chain(n) }).collect();
            let spatial = usize::from(at.spatial) + 1;
            let sizes = if sized { sizes[..spatial].to_vec() } else { Vec::new() };
            Structure { id_offset, templates, targets, chains, sizes }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(structure in any_structure(), pick in any::<u8>(), number in any::<u16>(), active in any::<u32>(), mask in any::<bool>()) {
        let at = usize::from(pick) % structure.templates.len();
        let template = structure.templates[at];
        let fields = Fields {
            start: pick & 1 != 0,
            end: pick & 2 != 0,
            template: structure.id_offset.wrapping_add(at as u8) & 63,
            number,
            structure: &structure,
            attach: true,
            active: mask.then_some(active & structure.all_targets()),
            indications: (pick & 4 != 0).then_some(template.indications),
            diffs: (pick & 8 != 0).then_some(template.diffs),
            chains: (pick & 16 != 0).then_some(template.chains),
        };
        let mut out = vec![0xff; 4_096];
        let len = fields.write(&mut out).unwrap();
        let mut templates = Templates::default();
        let frame = templates.read(&out[..len]).unwrap();
        prop_assert_eq!(templates.structure(), Some(&structure));
        prop_assert_eq!((frame.start, frame.end, frame.number), (fields.start, fields.end, number));
        prop_assert_eq!((frame.layer, frame.indications, frame.diffs, frame.chains),
            (template.layer, template.indications, template.diffs, template.chains));
        prop_assert_eq!(frame.active, fields.active.unwrap_or(structure.all_targets()));
        let mut copy = vec![0; 4_096];
        let wanted = Active { mask: active & structure.all_targets(), targets: structure.target_count() };
        let copied = rewrite(&out[..len], number.wrapping_add(1), Some(wanted), &mut copy).unwrap();
        let mut templates = Templates::default();
        let again = templates.read(&copy[..copied]).unwrap();
        prop_assert_eq!(again, Frame { number: number.wrapping_add(1), active: wanted.mask, ..frame });
        prop_assert_eq!(templates.structure(), Some(&structure));
    }
}
