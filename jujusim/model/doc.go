// Package model holds one Juju model as plain data: applications, units,
// relations with their databags, secrets, ports, status and charm state.
//
// A model is built as a literal, read from JSON, or grown by the simulator:
//
//	m := &model.Model{
//		Name: "test", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d",
//		Applications: map[string]*model.Application{
//			"web": {
//				Leader:    "web/0",
//				Endpoints: []model.Endpoint{{Name: "db", Role: model.Requirer, Interface: "pgsql"}},
//				Units:     map[string]*model.Unit{"web/0": {Machine: "0", Address: "10.0.0.1"}},
//			},
//			"db": {
//				Leader:    "db/0",
//				Endpoints: []model.Endpoint{{Name: "server", Role: model.Provider, Interface: "pgsql"}},
//				Units:     map[string]*model.Unit{"db/0": {Machine: "1", Address: "10.0.0.2"}},
//			},
//		},
//		Relations: []*model.Relation{{
//			ID: 1, Interface: "pgsql",
//			Endpoints: []model.RelationEndpoint{
//				{Application: "web", Name: "db", Role: model.Requirer},
//				{Application: "db", Name: "server", Role: model.Provider},
//			},
//			Units: model.NewUnits("web/0", "db/0"),
//			Data:  map[string]model.Bag{"db/0": {"host": "10.0.0.2"}, "web/0": {}},
//		}},
//	}
//	fmt.Println(m.Relation(1).Members(m, "web/0"), m.Relation(1).Data["db/0"]["host"])
//	// Output: [db/0] 10.0.0.2
//
// The JSON form is that of the recorded hook-tool vectors. Maps may be nil
// when a model is read; agents make the ones they write to.
//
// What a charm does to a model goes through package agent. Agents lock the
// model (see [Model.Lock]) for each call and for the commit; who changes or
// reads a model while agents run on it does the same. Questions about the data
// are methods here and lock nothing.
package model
