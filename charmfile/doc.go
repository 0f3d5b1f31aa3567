// Package charmfile reads the files that describe a charm: charmcraft.yaml,
// or the metadata.yaml, config.yaml, actions.yaml and manifest.yaml of a
// packed one.
//
//	charm, err := charmfile.Load(".")
//	if err != nil {
//		return err // charmcraft.yaml:14: provides.metrics.scope: must be "global" or "container", not "unit"
//	}
//	for _, ep := range charm.Endpoints {
//		fmt.Println(ep.Role, ep.Name, ep.Interface)
//	}
//	port, _ := charm.Options.Get("port")
//	value, err := port.Parse("8080") // int64(8080)
//	backup, _ := charm.Action("backup")
//	params, err := backup.Validate(map[string]any{"target": "s3"})
//
// It is one package for everybody who must agree on what a charm declares: a
// running charm, the simulated Juju that runs it, its unit tests, and the
// tool that packs it. What it accepts is what Juju 3.6 and 4.x accept when
// they read the same files; whether Juju would then take the charm as a whole
// (reserved names, a subordinate without a container-scoped endpoint, …) is
// for the packer to say.
//
// Everything here is a value without behaviour behind it: safe for concurrent
// use as long as nobody changes it.
package charmfile
