//! Small worlds (`muxado_tests::worlds`), as far as an unoptimised test gets in seconds. `.ci/run`
//! explores more than 10^5 states and one world completely, `muxado-worlds` any number.

use muxado_tests::worlds;

#[test]
fn every_world_is_sound_as_far_as_it_is_explored() {
    for settings in worlds::all() {
        let explored = worlds::explore(settings, 1500, 1500);
        println!("{explored}");
        assert!(explored.failure.is_none(), "{explored}");
        assert!(explored.closed || explored.states == 1500, "{explored}");
    }
}

#[test]
fn the_same_world_has_the_same_states() {
    let settings = worlds::find("plain").expect("a world");
    let [first, second] = [10, 1000].map(|kept| worlds::explore(settings, 1000, kept));
    assert_eq!(
        (first.states, first.steps, first.rests),
        (second.states, second.steps, second.rests)
    );
}
