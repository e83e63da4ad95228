// SPDX-License-Identifier: Apache-2.0

// A complete stepd worker on nothing but the stock protobuf package: softmax regression on
// Fashion-MNIST. Those in c, python, node and java beside this folder may train one job with it.
// What it has to do with stepd is here; the mathematics are in regression.go.
//
//	protoc -Iproto --go_out=DIR/src proto/stepd.proto
//	GO111MODULE=off GOPATH=DIR:/usr/share/gocode go build -o softmax *.go # with Debian's packages
//	./softmax ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	pb "stepd/v1"
)

var starts = []uint64{0, biases} // where the tensors w and b begin among all weights

// One connection: a varint length in front of each Frame, in both directions.
type connection struct {
	socket   net.Conn
	reader   *bufio.Reader
	requests uint64
	lock     sync.Mutex // of ask
	welcome  *pb.Welcome
}

func dial(address string, hello *pb.Hello) *connection {
	socket := must(net.Dial("tcp", address))
	c := &connection{socket: socket, reader: bufio.NewReader(socket)}
	c.welcome = c.ask(&pb.Header{Body: &pb.Header_Hello{Hello: hello}}).GetWelcome()
	return c
}

func (c *connection) send(header *pb.Header, payload []byte) {
	c.requests++
	header.RequestId = c.requests
	frame := must(proto.Marshal(&pb.Frame{Header: header, Payload: payload}))
	must(c.socket.Write(append(binary.AppendUvarint(nil, uint64(len(frame))), frame...)))
}

func (c *connection) read() (*pb.Header, []byte) {
	length, err := binary.ReadUvarint(c.reader)
	if err != nil {
		log.Fatalln("the server has closed the connection:", err)
	}
	content, frame := make([]byte, length), &pb.Frame{}
	must(io.ReadFull(c.reader, content))
	must(0, proto.Unmarshal(content, frame))
	if refused := frame.Header.GetError(); refused.GetCode() == 17 { // ROLLED_BACK
		log.Fatalln(refused.Text + "\nsoftmax: start it again: it goes on from the server's version")
	} else if refused != nil {
		log.Fatalln(refused.Text)
	}
	return frame.Header, frame.Payload
}

func (c *connection) ask(header *pb.Header) *pb.Header {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.send(header, nil)
	reply, _ := c.read()
	return reply
}

// Heartbeats, so that the lease does not run out while others are waited for.
func (c *connection) keepAlive() {
	for range time.Tick(time.Duration(c.welcome.LeaseMs) * time.Millisecond / 3) {
		c.ask(&pb.Header{Body: &pb.Header_Heartbeat{}})
	}
}

// The weights here, and where the elements of each slice of the shards stand in them.
type model struct {
	w                    [all]float32 // laid out as W row by row, and then b
	incarnation, version uint64
	places               [][]uint64 // of each slice
	held                 map[uint32][]uint32
	shards               map[uint32]*connection
}

func (m *model) attach(control *connection, address string) {
	m.held, m.shards = map[uint32][]uint32{}, map[uint32]*connection{}
	control.send(&pb.Header{Body: &pb.Header_GetLayout{}}, nil)
	for last := false; !last; {
		header, _ := control.read()
		layout, part := header.GetLayout_(), 0
		for i, shard := range layout.SliceShards {
			places := []uint64{}
			for end := part + int(layout.SliceParts[i]); part < end; part++ {
				first := starts[layout.PartTensors[part]] + layout.PartOffsets[part]
				for j := uint64(0); j < uint64(layout.PartElements[part]); j++ {
					places = append(places, first+j)
				}
			}
			m.held[shard] = append(m.held[shard], uint32(len(m.places)))
			m.places = append(m.places, places)
		}
		m.incarnation, last = layout.Incarnation, layout.Last
	}
	for shard := range m.held {
		where := control.welcome.ShardAddresses[shard-1]
		if where == "" {
			where = address
		}
		m.shards[shard] = dial(where, &pb.Hello{Protocol: 1, Session: control.welcome.Session, Shard: shard})
	}
}

// A Step with the gradient of these slices; without one, a Pull.
func (m *model) request(slices []uint32, grad []float32) (*pb.Header, []byte) {
	if grad == nil {
		pull := &pb.Pull{Incarnation: m.incarnation, Slices: slices}
		return &pb.Header{Body: &pb.Header_Pull{Pull: pull}}, nil
	}
	payload := []byte{}
	for _, slice := range slices {
		for _, place := range m.places[slice] {
			payload = binary.LittleEndian.AppendUint32(payload, math.Float32bits(grad[place]))
		}
	}
	push := &pb.Push{Incarnation: m.incarnation, Clock: m.version + 1, Slices: slices,
		BaseVersions: []uint64{m.version}, Examples: batch}
	return &pb.Header{Body: &pb.Header_Step{Step: &pb.Step{Push: push}}}, payload
}

// Asks all shards before it waits for any, as workers must that wait for each other.
func (m *model) ask(grad []float32) {
	for shard, connection := range m.shards {
		connection.send(m.request(m.held[shard], grad))
	}
	m.version = math.MaxUint64
	for _, connection := range m.shards {
		for last := false; !last; { // a Result may come in several frames
			header, payload := connection.read()
			result := header.GetResult()
			for i, slice := range result.Slices {
				for _, place := range m.places[slice] {
					m.w[place] = math.Float32frombits(binary.LittleEndian.Uint32(payload))
					payload = payload[4:]
				}
				if result.Versions[i] < m.version {
					m.version = result.Versions[i]
				}
			}
			last = result.Last
		}
	}
}

func define(control *connection, workers int) {
	sgd := &pb.Group{Name: "all", Match: "*", Optimizer: "sgd",
		Settings: []*pb.Setting{{Name: "lr", Values: []float64{0.1}}}}
	job := &pb.DefineJob{Workers: uint32(workers), Groups: []*pb.Group{sgd}}
	control.ask(&pb.Header{Body: &pb.Header_DefineJob{DefineJob: job}})
	tensors := &pb.DefineTensors{Last: true, Tensors: []*pb.Tensor{
		{Name: "w", Shape: []uint64{classes, pixels}}, {Name: "b", Shape: []uint64{classes}}}}
	control.ask(&pb.Header{Body: &pb.Header_DefineTensors{DefineTensors: tensors}})
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("softmax: ")
	if len(os.Args) != 6 {
		log.Fatalln("usage: softmax ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE")
	}
	address, folder := os.Args[1], os.Args[4]
	rank, workers := must(strconv.Atoi(os.Args[2])), must(strconv.Atoi(os.Args[3]))
	hello := pb.Hello{Protocol: 1, Job: "softmax", Worker: "go:" + os.Args[2], Rank: int32(rank)}
	control := dial(address, &hello)
	define(control, workers)
	var m model
	m.attach(control, address)
	go control.keepAlive()
	m.ask(nil)
	train := readPictures(folder, "train", steps*workers*batch)
	for m.version < steps { // the version is the number of steps that have been made
		first := (int(m.version)*workers + rank) * batch
		m.ask(gradient(m.w[:], train[first:first+batch]))
	}
	control.ask(&pb.Header{Body: &pb.Header_Leave{Leave: &pb.Leave{Clock: steps}}})
	right := countRight(m.w[:], readPictures(folder, "t10k", test))
	fmt.Printf("rank %d, Go: %.1f %% of %d pictures right\n", rank, float64(right)*100/test, test)
	out := must(os.Create(os.Args[5]))
	must(0, binary.Write(out, binary.LittleEndian, m.w))
}
