// Both ends of the tunnels' benchmark at little CPU time of their own: a TCP server that greets and echoes,
// and its clients, which verify every byte.
//
//	tcp-load serve               prints its address
//	tcp-load open ADDRESS COUNT  opens COUNT connections, each until the greeting has arrived
//	tcp-load idle ADDRESS COUNT  does the same and keeps them open until its standard input ends
//	tcp-load echo ADDRESS COUNT  sends COUNT bytes through one connection while it receives their echo
//	tcp-load trip ADDRESS COUNT  sends COUNT messages through one connection, each after the last one's echo
//
// A client prints the seconds that it took, how many connections failed, and why the first did.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	greeting     = "Congrats! You have reached a TCP server behind a tunnel.\n"
	workers      = 64
	messageBytes = 64
	chunkBytes   = 256 << 10
	timeout      = time.Minute
)

type result struct {
	Seconds float64 `json:"seconds"`
	Failed  int     `json:"failed"`
	Error   string  `json:"error"`
}

func main() {
	// With more threads, Go wakes another one for each event.
	runtime.GOMAXPROCS(1)
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		log.Fatal(serve())
	}
	if len(os.Args) != 4 {
		log.Fatal("usage: tcp-load serve | open|idle|echo|trip ADDRESS COUNT")
	}
	load, address := os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	switch load {
	case "open":
		report(openAll(address, count, func(connection net.Conn) { connection.Close() }))
	case "idle":
		kept := make(chan net.Conn, count)
		report(openAll(address, count, func(connection net.Conn) { kept <- connection }))
		io.Copy(io.Discard, os.Stdin)
	case "echo":
		report(through(address, count, echo))
	case "trip":
		report(through(address, count, trip))
	default:
		log.Fatalf("there is no load %q", load)
	}
}

func report(result result) {
	json.NewEncoder(os.Stdout).Encode(result)
}

func (result *result) fail(err error) {
	if result.Failed == 0 {
		result.Error = err.Error()
	}
	result.Failed++
}

func serve() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	buffers := sync.Pool{New: func() any { return new([chunkBytes]byte) }}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			buffer := buffers.Get().(*[chunkBytes]byte)
			defer buffers.Put(buffer)
			_, err := io.WriteString(connection, greeting)
			for err == nil {
				var length int
				if length, err = connection.Read(buffer[:]); err == nil {
					_, err = connection.Write(buffer[:length])
				}
			}
		}()
	}
}

// openAll opens so many connections, 64 at a time.
func openAll(address string, count int, then func(net.Conn)) (total result) {
	var group sync.WaitGroup
	var lock sync.Mutex
	next := make(chan struct{}, count)
	for range count {
		next <- struct{}{}
	}
	close(next)
	started := time.Now()
	for range workers {
		group.Go(func() {
			for range next {
				connection, err := open(address)
				if err == nil {
					then(connection)
					continue
				}
				lock.Lock()
				total.fail(err)
				lock.Unlock()
			}
		})
	}
	group.Wait()
	total.Seconds = time.Since(started).Seconds()
	return
}

// open opens a connection and reads its greeting.
func open(address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	connection, err := dialer.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	connection.SetDeadline(time.Now().Add(timeout))
	var received [len(greeting)]byte
	if _, err = io.ReadFull(connection, received[:]); err == nil && string(received[:]) != greeting {
		err = fmt.Errorf("the greeting was %q", received)
	}
	if err != nil {
		connection.Close()
		return nil, err
	}
	return connection, nil
}

// through runs a load on one open connection.
func through(address string, count int, load func(net.Conn, int) error) (total result) {
	connection, err := open(address)
	if err == nil {
		defer connection.Close()
		started := time.Now()
		err = load(connection, count)
		total.Seconds = time.Since(started).Seconds()
	}
	if err != nil {
		total.fail(err)
	}
	return
}

func trip(connection net.Conn, count int) error {
	var message, received [messageBytes]byte
	for number := range count {
		binary.LittleEndian.PutUint64(message[:], uint64(number))
		if _, err := connection.Write(message[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(connection, received[:]); err != nil {
			return err
		}
		if received != message {
			return errors.New("a message came back changed")
		}
	}
	return nil
}

func echo(connection net.Conn, count int) error {
	sent := make(chan error, 1)
	go func() {
		for at := 0; at < count; at += chunkBytes {
			if _, err := connection.Write(chunk(at, count)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	received := make([]byte, chunkBytes)
	for at := 0; at < count; at += chunkBytes {
		expected := chunk(at, count)
		if _, err := io.ReadFull(connection, received[:len(expected)]); err != nil {
			return err
		}
		if string(received[:len(expected)]) != string(expected) {
			return fmt.Errorf("other bytes came back, %d or more from the start", at)
		}
	}
	return <-sent
}

// pattern repeats only after more bytes than a chunk has, so that no two neighbours are alike.
var pattern = func() []byte {
	bytes := make([]byte, 2*chunkBytes)
	for at := 0; at < len(bytes); at += 8 {
		binary.LittleEndian.PutUint64(bytes[at:], uint64(at)*0x9e3779b97f4a7c15)
	}
	return bytes
}()

// chunk returns the bytes to send from an offset on, which differ from chunk to chunk.
func chunk(at, count int) []byte {
	start := at / chunkBytes * 4096 % chunkBytes
	return pattern[start : start+min(chunkBytes, count-at)]
}
