//! The plays.

use crate::script::check;
use std::time::Duration;

#[test]
fn two_people_see_and_hear_each_other() {
    check(
        "ana joins audio 3 video 2
         ben joins audio 3 video 2
         ana publishes microphone
         ana publishes camera 180 360 720
         ben publishes microphone
         ben publishes camera 180
         after 1s
         ana sees ben 180
         ben hears ana
         ana hears ben
         ana does not hear ana
         ana sees nothing of ana
         ana has no gap
         ben has no gap
         ana leaves
         ben sees nothing of ana
         ben leaves
         nothing is left",
    );
}

#[test]
fn a_tile_that_grows_gets_a_larger_layer_at_a_key_frame() {
    check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ben joins audio 1 video 1
         ben views ana 320x180
         after 1s
         ben sees ana 180
         ben views ana 1280x720
         after 2s
         ben sees ana 720
         ben views ana 640x360
         after 700ms
         ben sees ana 360
         ben views ana 0x0
         after 300ms
         ben sees nothing of ana
         ben views ana 1280x720
         after 2s
         ben sees ana 720
         ben has no gap
         key frame requests for ana are 250ms apart",
    );
}

#[test]
fn a_storm_of_joins_costs_the_publisher_one_key_frame() {
    let mut script = String::from(
        "ana joins video 1
         ana publishes camera 180 360 720
         zoe joins video 1
         zoe views ana 160x90
         after 1s\n",
    );
    for n in 0..40 {
        script += &format!("v{n} joins video 1\nv{n} views ana 160x90\nafter 15ms\n");
    }
    script += "after 200ms\n";
    for n in 0..40 {
        script += &format!("v{n} sees ana 180\nv{n} has no gap\n");
    }
    // One at the start, then one whenever the cached one has become too old: 0.6 s of joins.
    script += "at most 2 key frame requests for ana 180";
    let mut world = check(&script);
    assert!(world.person("v0").players.values().all(|p| p.packets.len() > 10));
}

#[test]
fn loss_on_the_way_up_is_repaired_once_and_nobody_sees_it() {
    let mut world = check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ben joins video 1
         ben views ana 1280x720
         after 1s
         ana loses 50 up
         after 10s
         ana loses 0 up
         after 2s
         ben sees ana 720
         ben has no gap",
    );
    let camera = world.person("ana").cameras.values().next().unwrap();
    for layer in camera.layers.iter().filter(|l| !l.paused) {
        let share = layer.repairs as f64 / layer.packets as f64;
        assert!((0.02..0.10).contains(&share), "{} repairs of {} packets", layer.repairs, layer.packets);
        assert!(layer.key_requests.len() < 5, "{:?}", layer.key_requests);
    }
}

#[test]
fn loss_on_the_way_down_is_repaired_from_the_cache() {
    let mut world = check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ben joins video 1
         cleo joins video 1
         ben views ana 640x360
         cleo views ana 640x360
         after 1s
         ben loses 100 down
         after 5s
         ben loses 0 down
         after 2s
         ben has no gap
         cleo has no gap
         ben sees ana 360",
    );
    assert!(world.person("ben").players.values().all(|p| p.repaired > 10));
    assert!(world.person("cleo").players.values().all(|p| p.repaired == 0));
    let repairs: u64 = world.person("ana").cameras.values().flat_map(|c| &c.layers).map(|l| l.repairs).sum();
    assert_eq!(repairs, 0, "the publisher is not asked for what its subscriber lost");
}

#[test]
fn a_layer_nobody_watches_is_paused_and_comes_back() {
    check(
        "ana joins video 1
         ana publishes camera 180 360 720
         after 3s
         ana sends nothing of 720
         ana sends nothing of 180
         ben joins video 1
         ben views ana 320x180
         after 300ms
         ben sees ana 180
         ana sends nothing of 720
         cleo joins video 1
         cleo views ana 1280x720
         after 300ms
         cleo sees ana 720
         ana sends 720
         cleo views ana 100x100
         after 1s
         ana sends 720
         after 2s
         ana sends nothing of 720
         cleo sees ana 180
         ben has no gap
         cleo has no gap",
    );
}

#[test]
fn slots_stay_with_who_stays_in_view() {
    let mut world = check(
        "ana joins video 1
         ana publishes camera 180
         ben joins video 1
         ben publishes camera 180
         cleo joins video 1
         cleo publishes camera 180
         dan joins video 2
         dan views ana 320x180, ben 320x180
         after 500ms
         dan sees ana 180
         dan sees ben 180
         dan views cleo 320x180, ben 320x180, ana 320x180
         after 700ms
         dan sees cleo 180
         dan sees ben 180
         dan sees nothing of ana
         dan has no gap
         dan views ben 320x180
         after 300ms
         dan sees nothing of cleo
         dan sees ben 180",
    );
    let slots = &world.person("dan").slots;
    assert_eq!(slots["video1"].as_ref().unwrap().participant.as_str(), "ben", "never moved");
    assert_eq!(slots["video0"], None);
}

#[test]
fn before_the_first_view_slots_fill_in_order_of_publication() {
    check(
        "dan joins video 2 screen 1
         ana joins video 1
         ana publishes camera 180 360 720
         ben joins video 1
         ben publishes screen 720
         cleo joins video 1
         cleo publishes camera 180
         eva joins video 1
         eva publishes camera 180
         after 1s
         dan sees ana 360
         dan sees ben 720
         dan sees cleo 180
         dan sees nothing of eva
         ana leaves
         after 600ms
         dan sees eva 180
         dan has no gap",
    );
}

#[test]
fn the_loudest_are_heard_and_the_silent_make_room() {
    let world = check(
        "zoe joins audio 2
         ana joins audio 2
         ana publishes microphone
         ben joins audio 2
         ben publishes microphone
         cleo joins audio 2
         cleo publishes microphone
         after 1s
         zoe hears ana
         zoe hears ben
         zoe does not hear cleo
         cleo speaks
         after 500ms
         speakers cleo
         zoe hears cleo
         cleo does not hear cleo
         cleo hears ana
         cleo hears ben
         cleo is quiet
         after 3s
         speakers nobody
         zoe hears cleo
         ana speaks
         ben speaks
         after 1s
         zoe hears ana
         zoe hears ben
         zoe has no gap
         ana mutes microphone
         after 300ms
         zoe does not hear ana
         ana unmutes microphone
         after 300ms
         zoe hears ana
         zoe has no gap",
    );
    assert!(world.speakers.windows(2).all(|w| w[1].0 - w[0].0 >= Duration::from_millis(300)), "{:?}", world.speakers);
}

#[test]
fn a_voice_with_nothing_to_say_rests_and_its_first_word_is_heard() {
    check(
        "zoe joins audio 2
         ana joins audio 2
         ana publishes microphone
         ana speaks
         after 500ms
         zoe hears ana
         ana falls silent
         after 1500ms
         zoe hears ana
         after 1s
         zoe does not hear ana
         after 5s
         ana speaks
         after 40ms
         zoe hears ana
         ana is quiet
         after 9s
         zoe hears ana
         zoe has no gap",
    );
}

#[test]
fn a_camera_that_was_muted_comes_back_with_a_key_frame() {
    check(
        "ana joins video 1
         ana publishes camera 180 360
         ben joins video 1
         ben views ana 640x360
         after 1s
         ana mutes camera
         after 3s
         ben sees nothing of ana
         ana unmutes camera
         after 400ms
         ben sees ana 360
         ben has no gap
         ana stops camera
         after 5s
         ana resumes camera
         after 1s
         ben sees ana 360
         key frame requests for ana are 250ms apart",
    );
}

#[test]
fn many_who_lost_the_picture_are_one_question() {
    check(
        "ana joins video 1
         ana publishes camera 180
         ben joins video 1
         cleo joins video 1
         after 3s
         at most 1 key frame requests for ana 180
         ben lost the picture in video0
         cleo lost the picture in video0
         ben lost the picture in video0
         after 100ms
         ben lost the picture in video0
         after 100ms
         cleo lost the picture in video0
         after 800ms
         at most 3 key frame requests for ana 180
         ben has no gap",
    );
}

#[test]
fn losing_everything_for_a_while_ends_in_a_key_frame_not_in_a_flood() {
    let mut world = check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ben joins video 1
         ben views ana 1280x720
         after 1s
         ana loses 1000 up
         after 4s
         ana loses 0 up
         after 2s
         ben sees ana 720",
    );
    let heard = world.person("ana").uplink.heard();
    assert!(heard.nacked < 4_000, "{heard:?}");
}

#[test]
fn transport_feedback_tells_of_every_packet() {
    let mut world = check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ben joins video 1
         after 2s",
    );
    let ana = world.person("ana");
    let sent: u64 = ana.cameras.values().flat_map(|c| &c.layers).map(|l| l.packets).sum();
    assert!(ana.feedback_arrivals as u64 > sent * 9 / 10, "{} of {sent}", ana.feedback_arrivals);
}

#[test]
fn a_link_gets_exactly_the_layer_it_asked_for_beginning_with_the_key_frame() {
    let mut world = check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ana uses temporal layers
         ben joins video 1
         ben views ana 640x360
         after 1s",
    );
    let track = world.room.track(&crate::world::name("ana", lyceum_wire::id::Source::Camera)).unwrap();
    world.tap(7, track, lyceum_wire::link::Layer { spatial: 1, temporal: 0 });
    world.tap(8, track, lyceum_wire::link::Layer { spatial: 1, temporal: 7 });
    let replayed = world.tapped[&lyceum_media::TapId(8)].len();
    assert!(replayed > 40, "what the cache had came at once: {replayed}");
    world.run(Duration::from_secs(1));
    let meaning = |bytes: &[u8]| lyceum_wire::vp8::Descriptor::parse(bytes).unwrap();
    let base = &world.tapped[&lyceum_media::TapId(7)];
    let all = &world.tapped[&lyceum_media::TapId(8)];
    assert!(meaning(&base[0].1).key_frame && meaning(&all[0].1).key_frame);
    assert!(base.iter().all(|(_, bytes)| meaning(bytes).temporal == Some(0)));
    assert!(all.windows(2).all(|w| w[1].0 == w[0].0 + 1), "one unbroken sequence");
    assert!(base.len() * 10 < all.len() * 6, "{} of {}", base.len(), all.len());
    assert_eq!(world.room.live().taps, 2);
    world.room.untap(lyceum_media::TapId(7), world.now);
    world.room.unpublish(track, &mut world.downlinks, world.now);
    assert_eq!(world.room.live().taps, 0, "taps end with their track");
}

#[test]
fn a_layer_that_rested_wakes_with_the_key_frame_it_begins_with_and_nobody_asks_for_another() {
    check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ben joins video 1
         ben views ana 320x180
         after 4s
         ben sees ana 180
         ana sends nothing of 720
         at most 0 key frame requests for ana 720
         ben views ana 1280x720
         after 1s
         ben sees ana 720
         after 2s
         at most 0 key frame requests for ana 720
         ben has no gap",
    );
}
