// Package hooktool runs Juju's hook tools: relation-get, status-set, secret-add
// and the others, one method of [Client] each, with typed results and errors.
//
// A whole program, which Juju could start as a charm's dispatch, that tells its
// related units where it listens:
//
//	func main() {
//		ctx := context.Background()
//		dir, _ := os.Getwd()
//		tools, err := hooktool.Dial(ctx, hooktool.Process{Env: os.Environ(), Dir: dir})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer tools.Close()
//		if err := announce(ctx, tools); err != nil {
//			log.Fatal(err)
//		}
//	}
//
//	func announce(ctx context.Context, tools *hooktool.Client) error {
//		network, err := tools.Network(ctx, "website")
//		if err != nil {
//			return err
//		}
//		ids, err := tools.RelationIDs(ctx, "website")
//		if err != nil {
//			return err
//		}
//		for _, id := range ids {
//			address := map[string]string{"hostname": network.IngressAddress(), "port": "8080"}
//			if err := tools.RelationSet(ctx, id, address); err != nil {
//				return err
//			}
//		}
//		if err := tools.OpenPorts(ctx, hooktool.PortRange{From: 8080}); err != nil {
//			return err
//		}
//		return tools.SetStatus(ctx, hooktool.StatusActive, "")
//	}
//
// # Transports
//
// The executables that Juju puts into a hook's PATH are small clients of the
// unit agent, which does the work; what one costs is its start. [Socket] speaks
// the agent's protocol itself, some forty times faster, and [Exec] runs the
// executables. [Dial] takes the socket where it can and the executables where
// it must; the environment variable [TransportEnv] (CHARM_HOOKTOOL_TRANSPORT)
// forces one of them, as "socket" or "exec". Anything else that is a
// [Transport] can stand behind a Client too, which is how a simulated Juju runs
// charms: see [Process].Tools.
//
// # Errors
//
// Every failed tool is an [*Error] with the tool's exit code and text. What a
// program may want to tell apart matches one of this package's kinds:
//
//	err := tools.RelationSetApp(ctx, "db:1", data)
//	if errors.Is(err, hooktool.ErrNotLeader) { … }
//
// # What is kept
//
// Juju keeps what most tools change in memory and commits it when the hook has
// ended well; a hook that fails leaves nothing. At once, and for good, act
// SetStatus, SetApplicationStatus, LeaderSet, SetApplicationVersion, Log,
// ActionLog and the revision and label that SecretGet tracks.
//
// # What others can see
//
// Databags, charm state and the content of secrets never stand on a command
// line, where every user of the machine could read them. Over executed tools
// the rest does, action results and leader settings among it.
package hooktool
